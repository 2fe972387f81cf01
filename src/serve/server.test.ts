import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, test } from "node:test";
import OpenAI, { APIConnectionError, APIError, APIUserAbortError } from "openai";
import { goOn, puzzle, puzzleAnswer, serveTinyModel } from "../testing/serve.js";

const apiKey = "sesame";
const server = await serveTinyModel({ apiKey, pooling: "mean" });
after(() => server.stop());
const model = server.modelId;
const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 });
const question = { role: "user", content: puzzle(35) } as const;

/** Sends a body as it is. */
function post(path: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${server.url}${path}`, {
    method: "POST",
    body,
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json", ...headers },
  });
}

async function errorOf(
  response: Response,
): Promise<{ status: number; message: string; [field: string]: unknown }> {
  const { error } = (await response.json()) as { error: { message: string } };
  return { status: response.status, ...error };
}

async function apiError(request: Promise<unknown>): Promise<APIError> {
  const error = await request.then(
    () => assert.fail("the request succeeded"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof APIError, String(error));
  return error;
}

test("the model is listed", async () => {
  const models = await client.models.list();
  assert.deepEqual(
    models.data.map(({ id, owned_by }) => [id, owned_by]),
    [["tiny-moe-q8_0", "lopsided"]],
  );
  assert.equal((await client.models.retrieve(model)).id, model);
  assert.equal((await apiError(client.models.retrieve("gpt-4"))).status, 404);
});

test("a chat is answered", async () => {
  const answer = await client.chat.completions.create({
    model,
    messages: [question],
    temperature: 0,
    max_tokens: 12,
  });
  const [choice] = answer.choices;
  assert.ok(choice?.message.content?.startsWith(puzzleAnswer(35)), choice?.message.content ?? "");
  assert.equal(choice?.finish_reason, "length");
  assert.equal(answer.usage?.completion_tokens, 12);
  assert.equal(answer.usage?.total_tokens, 12 + (answer.usage?.prompt_tokens ?? 0));
});

test("a chat is streamed to its end, with its usage", async () => {
  const stream = await client.chat.completions.create({
    model,
    messages: [{ role: "user", content: "What is 3 * 4?" }],
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  const reasons: unknown[] = [];
  let usage: OpenAI.CompletionUsage | null | undefined;
  for await (const { choices, usage: used } of stream) {
    usage = used ?? usage;
    if (choices[0]?.delta.content) {
      text += choices[0].delta.content;
    }
    if (choices[0]?.finish_reason) {
      reasons.push(choices[0].finish_reason);
    }
  }
  const whole = await client.chat.completions.create({
    model,
    messages: [{ role: "user", content: "What is 3 * 4?" }],
    temperature: 0,
  });
  assert.equal(text, whole.choices[0]?.message.content);
  assert.deepEqual(reasons, ["stop"]);
  assert.equal(usage?.completion_tokens, whole.usage?.completion_tokens);
});

test("a stop string ends an answer before it, streamed or not", async () => {
  const request = { model, messages: [question], temperature: 0, stop: ["35 were", "never"] };
  const whole = await client.chat.completions.create(request);
  assert.equal(whole.choices[0]?.message.content, "If all ");
  assert.equal(whole.choices[0]?.finish_reason, "stop");
  let streamed = "";
  for await (const { choices } of await client.chat.completions.create({ ...request, stream: true })) {
    streamed += choices[0]?.delta.content ?? "";
  }
  assert.equal(streamed, "If all ");
});

test("log-probabilities are those of the tokens, streamed or not", async () => {
  const request = {
    model,
    messages: [question],
    temperature: 0,
    max_tokens: 5,
    logprobs: true,
    top_logprobs: 3,
  };
  const whole = await client.chat.completions.create(request);
  const entries = whole.choices[0]?.logprobs?.content ?? [];
  assert.equal(entries.length, 5);
  assert.equal(entries.map(({ token }) => token).join(""), whole.choices[0]?.message.content);
  for (const { token, logprob, top_logprobs } of entries) {
    assert.equal(top_logprobs.length, 3);
    assert.deepEqual([top_logprobs[0]?.token, top_logprobs[0]?.logprob], [token, logprob]);
    assert.ok(logprob <= 0);
  }
  let streamed = 0;
  for await (const { choices } of await client.chat.completions.create({ ...request, stream: true })) {
    streamed += choices[0]?.logprobs?.content?.length ?? 0;
  }
  assert.equal(streamed, 5);
});

test("a text is gone on with, several at once, in several ways", async () => {
  const completion = await client.completions.create({
    model,
    prompt: ["def merge_intervals(", "1, 2, 3, 4, "],
    n: 2,
    max_tokens: 6,
    seed: 1,
    logprobs: 1,
  });
  assert.deepEqual(
    completion.choices.map(({ index }) => index),
    [0, 1, 2, 3],
  );
  const [first] = completion.choices;
  assert.equal(first?.logprobs?.tokens?.join(""), first?.text);
  const tokens = await client.completions.create({ model, prompt: [100, 101, 102], max_tokens: 2 });
  assert.equal(tokens.usage?.prompt_tokens, 3);
  let text = "";
  const stream = await client.completions.create({
    model,
    prompt: "def merge_intervals(",
    max_tokens: 6,
    temperature: 0,
    stream: true,
  });
  for await (const { choices } of stream) {
    text += choices[0]?.text ?? "";
  }
  const again = await client.completions.create({
    model,
    prompt: "def merge_intervals(",
    max_tokens: 6,
    temperature: 0,
  });
  assert.equal(text, again.choices[0]?.text);
});

test("an equal seed gives an equal answer, and choices differ", async () => {
  const request = { model, prompt: "import ", max_tokens: 12, seed: 7, temperature: 2, n: 2 };
  const [one, two] = [await client.completions.create(request), await client.completions.create(request)];
  assert.equal(one.choices[0]?.text, two.choices[0]?.text);
  assert.notEqual(one.choices[0]?.text, one.choices[1]?.text);
});

test("embeddings arrive as the client asks for them", async () => {
  const packed = await client.embeddings.create({ model, input: ["one", "two"] });
  const plain = await client.embeddings.create({ model, input: "one", encoding_format: "float" });
  assert.equal(packed.data.length, 2);
  assert.equal(packed.data[0]?.embedding.length, 256);
  assert.deepEqual(
    plain.data[0]?.embedding.map((value) => value.toFixed(4)),
    packed.data[0]?.embedding.map((value) => value.toFixed(4)),
  );
});

test("a client that goes away frees its slot", async () => {
  const stop = new AbortController();
  const endless = { model, messages: [question], logit_bias: goOn };
  const stream = await client.chat.completions.create({ ...endless, stream: true }, { signal: stop.signal });
  for await (const _ of stream) {
    stop.abort();
  }
  const waiting = client.chat.completions.create(endless, { signal: AbortSignal.timeout(200) });
  await assert.rejects(waiting, APIUserAbortError);
  await becomes(async () => /answers_running 0\n/.test(await metrics()));
});

test("a wrong key is refused, and none is needed for the page and the health", async () => {
  const stranger = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "wrong", maxRetries: 0 });
  const error = await apiError(stranger.models.list());
  assert.equal(error.status, 401);
  assert.equal(error.code, "invalid_api_key");
  const none = await errorOf(await fetch(`${server.url}/v1/models`));
  assert.match(none.message, /^no API key was given/);
  assert.equal((await fetch(`${server.url}/metrics`)).status, 401);
  assert.deepEqual(await (await fetch(`${server.url}/health`)).json(), { status: "ok" });
  assert.equal((await fetch(`${server.url}/`)).status, 200);
});

test("a body that is no JSON, or not the right one, is refused by the name of its field", async () => {
  const chat = "/v1/chat/completions";
  assert.deepEqual(await errorOf(await post(chat, '{"messages": [')), {
    status: 400,
    message: "the body is not valid JSON: Unexpected end of JSON input.",
    type: "invalid_request_error",
    param: null,
    code: null,
  });
  const cases: [object, string | null, RegExp][] = [
    [{}, "messages", /^messages: /],
    [{ messages: [] }, "messages", /^messages: /],
    [{ messages: [{ role: "user", content: 5 }] }, "messages.0.content", /^messages\.0\.content: /],
    [{ messages: [question], temperature: -1 }, "temperature", /^temperature: Too small/],
    [{ messages: [question], max_tokens: "many" }, "max_tokens", /^max_tokens: /],
    [
      { messages: [question], n: 100 },
      "n",
      /^n: 100 choices cannot be written at once; ask for 4 at most\.$/,
    ],
    [
      { messages: [question], tool_choice: "required" },
      "tool_choice",
      /^tool_choice: there are no tools to call/,
    ],
    [{ messages: [question], audio: {} }, "audio", /^audio: is not supported here; leave it out\.$/],
    [
      { messages: [question], repeat_penalty: 1.1 },
      "repeat_penalty",
      /^repeat_penalty: is not supported, except as 1/,
    ],
    [{ messages: [{ role: "user", content: [{ type: "image_url" }] }] }, null, /only text can be read/],
  ];
  for (const [body, param, message] of cases) {
    const error = await errorOf(await post(chat, JSON.stringify(body)));
    assert.equal(error.param, param);
    assert.match(error.message, message);
  }
  assert.equal((await errorOf(await post(chat, "[]"))).status, 400);
  assert.equal((await errorOf(await post(chat, "[".repeat(1e6)))).status, 400);
});

test("a body that is too large is refused, whatever length it claims", async () => {
  const huge = JSON.stringify({ model, messages: [{ role: "user", content: "x".repeat(9e6) }] });
  assert.equal((await errorOf(await post("/v1/chat/completions", huge))).status, 413);
  const chunked = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(huge));
      controller.close();
    },
  });
  const response = await fetch(`${server.url}/v1/chat/completions`, {
    method: "POST",
    body: chunked,
    duplex: "half",
    headers: { authorization: `Bearer ${apiKey}` },
  } as RequestInit);
  assert.equal(response.status, 413);
});

test("a prompt that is too long is refused with OpenAI's code, streamed or not", async () => {
  const messages = [{ role: "user", content: "word ".repeat(1000) } as const];
  for (const stream of [false, true]) {
    const error = await apiError(
      client.chat.completions.create({ model, messages, stream }) as Promise<unknown>,
    );
    assert.equal(error.status, 400);
    assert.equal(error.code, "context_length_exceeded");
  }
});

test("unknown routes, and pages of others, get an error of the same shape", async () => {
  assert.equal((await errorOf(await fetch(`${server.url}/v2/x`))).status, 404);
  assert.equal((await errorOf(await post("/v1/models", "{}"))).status, 404);
  const foreign = await errorOf(await post("/v1/chat/completions", "{}", { origin: "https://example.com" }));
  assert.equal(foreign.status, 403);
  assert.match(foreign.message, /unless it runs with --allow-origin https:\/\/example\.com/);
  const own = await errorOf(await post("/v1/chat/completions", "{}", { origin: server.url }));
  assert.equal(own.status, 400);
  assert.match(
    await rawRequest("GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
    /403/,
  );
});

test("figures are given to Prometheus", async () => {
  const text = await metrics();
  assert.match(text, /lopsided_requests_total\{route="\/v1\/chat\/completions",status="200"\} \d+/);
  assert.match(text, /lopsided_completion_tokens_total \d+/);
});

test("more than the queue holds is refused, and told when to try again", async () => {
  const small = await serveTinyModel({ parallel: 1, queue: 1, ctxSize: 4096 });
  try {
    const crowded = new OpenAI({ baseURL: `${small.url}/v1`, apiKey: "none", maxRetries: 0 });
    // Far from their ends: one is being written, two wait. Each stream has begun when its headers are there.
    const long = { model, prompt: "def", max_tokens: 4000, logit_bias: goOn, stream: true } as const;
    const held = [1, 2, 3].map(() => crowded.completions.create(long));
    const streams = await Promise.all(held);
    const more = Array.from({ length: 5 }, () =>
      crowded.completions.create({ model, prompt: "def", max_tokens: 1 }).catch((error) => error),
    );
    for (const refused of await Promise.all(more)) {
      assert.ok(refused instanceof APIError, "a request too many was answered");
      const { status, code, headers } = refused;
      assert.deepEqual([status, code], [429, "queue_full"]);
      assert.ok(Number(headers?.get("retry-after")) >= 1);
    }
    for (const { controller } of streams) {
      controller.abort();
    }
  } finally {
    await small.stop();
  }
});

test("a stop lets running answers finish, and refuses others", async () => {
  const stopping = await serveTinyModel({ parallel: 1 });
  const its = new OpenAI({ baseURL: `${stopping.url}/v1`, apiKey: "none", maxRetries: 0 });
  const stream = await its.completions.create({
    model,
    prompt: "def",
    max_tokens: 200,
    logit_bias: goOn,
    stream: true,
  });
  let stopped: Promise<void> | undefined;
  let reason: string | undefined;
  for await (const { choices } of stream) {
    stopped ??= stopping.stop();
    reason = choices[0]?.finish_reason ?? reason;
  }
  assert.equal(reason, "length");
  await stopped;
  await assert.rejects(its.models.list(), APIConnectionError);
});

test("a killed engine costs the running answers only", async () => {
  const warnings: string[] = [];
  const fragile = await serveTinyModel({ parallel: 2, onWarning: (message) => warnings.push(message) });
  try {
    const its = new OpenAI({ baseURL: `${fragile.url}/v1`, apiKey: "none", maxRetries: 0 });
    const ask = (index: number) =>
      its.chat.completions.create({
        model,
        messages: [{ role: "user", content: puzzle(20 + index) }],
        temperature: 0,
        max_tokens: 40,
      });
    const asked = Array.from({ length: 16 }, (_, index) => ask(index));
    const outcomes = Promise.allSettled(asked);
    await asked[0];
    process.kill(fragile.generator.processId ?? 0, "SIGKILL");
    const failed = (await outcomes).filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
    assert.ok(failed.length <= 2, `${failed.length} failed`);
    for (const { reason } of failed) {
      assert.deepEqual([reason.status, reason.code, reason.type], [503, "engine_failed", "server_error"]);
      assert.match(reason.message, /llama\.cpp's process was killed/);
    }
    assert.equal(warnings.length, 1);
    const later = await ask(9);
    assert.ok(later.choices[0]?.message.content?.startsWith(puzzleAnswer(29)));
    assert.equal((await fetch(`${fragile.url}/health`)).status, 200);
  } finally {
    await fragile.stop();
  }
});

test("an address that is taken is an error that says so", async () => {
  await assert.rejects(
    serveTinyModel({ port: server.port }),
    /another program listens there; choose another `port`/,
  );
});

async function metrics(): Promise<string> {
  const response = await fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${apiKey}` } });
  return response.text();
}

/** Waits until something is so; the test's own time limit is the only clock. */
async function becomes(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Sends bytes that fetch would not, and reads the answer. */
async function rawRequest(text: string): Promise<string> {
  const socket = connect(server.port, server.host);
  socket.end(text);
  let answer = "";
  for await (const data of socket.setEncoding("utf8")) {
    answer += data;
  }
  return answer;
}
