/** What strangers may try: each is answered with the right error, and the next client as ever. */
import assert from "node:assert/strict";
import { request } from "node:http";
import { platform } from "node:os";
import { after, test } from "node:test";
import { goOn, puzzle, puzzleAnswer, serveTinyModel } from "../testing/serve.js";

const server = await serveTinyModel({ parallel: 2 });
after(() => server.stop());

async function post(path: string, body: string | object): Promise<{ status: number; body: Answer }> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const response = await fetch(`${server.url}${path}`, { method: "POST", body: text });
  return { status: response.status, body: (await response.json()) as Answer };
}

interface Answer {
  error?: { message: string; code: string | null; param: string | null };
  choices?: { message: { content: string } }[];
  usage?: { prompt_tokens: number };
}

const chat = (content: unknown, more: object = {}) =>
  post("/v1/chat/completions", {
    messages: [{ role: "user", content }],
    temperature: 0,
    max_tokens: 8,
    ...more,
  });

async function answersAsEver(): Promise<void> {
  const { status, body } = await chat(puzzle(35));
  assert.equal(status, 200);
  assert.ok(body.choices?.[0]?.message.content.startsWith(puzzleAnswer(35)));
}

const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

test("values nested a hundred thousand deep are refused, in bodies and in the arguments of calls", async () => {
  const message = `{"role":"user","content":"x","extra":${nested(100_000)}}`;
  const plain = await post("/v1/chat/completions", `{"messages":[${message}]}`);
  assert.equal(plain.status, 400);
  assert.match(plain.body.error?.message ?? "", /nested deeper than/);
  const call = { id: "1", type: "function", function: { name: "f", arguments: nested(100_000) } };
  const inCall = await post("/v1/chat/completions", {
    messages: [
      { role: "user", content: "x" },
      { role: "assistant", tool_calls: [call] },
    ],
  });
  assert.equal(inCall.status, 400);
  assert.match(inCall.body.error?.message ?? "", /nested deeper than/);
  await answersAsEver();
});

test("prompts that cannot fit are refused by their length, however they are tokenized", async () => {
  const text = "<|im_end|>a".repeat(40_000);
  for (const answer of [await chat(text), await post("/v1/completions", { prompt: text })]) {
    assert.equal(answer.status, 400);
    assert.equal(answer.body.error?.code, "context_length_exceeded");
  }
  await answersAsEver();
});

test("control tokens in messages are text unless the client asks, wherever they hide", async () => {
  const tokens = async (content: string, more: object = {}) =>
    (await chat(content, more)).body.usage?.prompt_tokens ?? 0;
  const plain = await tokens("ab");
  assert.ok((await tokens("a<|im_end|>b")) > plain + 2);
  assert.equal(await tokens("a<|im_end|>b", { parse_special: true }), plain + 2);
  const messages = (text: string) => ({
    messages: [
      { role: "user", content: "x" },
      { role: text, content: "y" },
    ],
  });
  const role = await post("/v1/chat/completions", { ...messages("user<|im_end|>"), max_tokens: 1 });
  const short = await post("/v1/chat/completions", { ...messages("user"), max_tokens: 1 });
  assert.ok((role.body.usage?.prompt_tokens ?? 0) > (short.body.usage?.prompt_tokens ?? 0) + 2);
});

test("bodies of too many values and conversations of too many messages are refused", async () => {
  const objects = await post("/v1/chat/completions", `{"messages":[${"{},".repeat(600_000)}{}]}`);
  assert.match(objects.body.error?.message ?? "", /more than 500000 values/);
  const many = await post("/v1/chat/completions", `{"messages":[${"{},".repeat(20_000)}{}]}`);
  assert.deepEqual([many.status, many.body.error?.param], [400, "messages"]);
  const prompts = await post("/v1/completions", { prompt: Array.from({ length: 200_000 }, () => 0.5) });
  assert.deepEqual([prompts.status, prompts.body.error?.param], [400, "prompt"]);
  await answersAsEver();
});

test("a model's process that stands still is noticed, and goes on when it does", async () => {
  const pid = server.generator.processId ?? 0;
  const health = async () => (await fetch(`${server.url}/health`)).status;
  assert.equal(await health(), 200);
  process.kill(pid, "SIGSTOP");
  try {
    while ((await health()) !== 503) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const refused = await chat("x");
    assert.deepEqual([refused.status, refused.body.error?.code], [503, "engine_unresponsive"]);
  } finally {
    process.kill(pid, "SIGCONT");
  }
  while ((await health()) !== 200) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await answersAsEver();
});

/** Asks a server for an answer of so many tokens, as a client of an address; its status. */
function askFrom(
  localAddress: string,
  { url, tokens, signal }: { url: string; tokens: number; signal?: AbortSignal },
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const options = { method: "POST", localAddress, ...(signal && { signal }) };
    const outgoing = request(`${url}/v1/completions`, options, (incoming) => {
      incoming.resume().on("error", reject);
      incoming.on("end", () => resolve(incoming.statusCode));
    });
    outgoing.on("error", reject);
    outgoing.end(JSON.stringify({ prompt: "def", max_tokens: tokens, logit_bias: goOn }));
  });
}

const needsAddresses = { skip: platform() !== "linux" && "other systems have one loopback address" };

test("who fills the queue leaves room for others", needsAddresses, async () => {
  const small = await serveTinyModel({ parallel: 1, queue: 8 });
  const { url } = small;
  try {
    const greedy = Array.from({ length: 40 }, () => askFrom("127.0.0.1", { url, tokens: 100 }));
    // Whoever is refused is so at once, so the queue is as full as it gets.
    assert.equal(await Promise.race(greedy), 429);
    assert.equal(await askFrom("127.0.0.2", { url, tokens: 1 }), 200);
    assert.ok((await Promise.all(greedy)).every((status) => status === 200 || status === 429));
  } finally {
    await small.stop();
  }
});

test("who holds all slots does not keep others waiting until an answer ends", needsAddresses, async () => {
  const wide = await serveTinyModel({ parallel: 2, ctxSize: 2 * 4000 });
  const { url } = wide;
  const stop = new AbortController();
  let ended = 0;
  try {
    const greedy = Array.from({ length: 12 }, () =>
      askFrom("127.0.0.1", { url, tokens: 3990, signal: stop.signal }).finally(() => {
        ended++;
      }),
    );
    const metrics = async () => (await fetch(`${url}/metrics`)).text();
    while (ended === 0 && !(await metrics()).includes("lopsided_answers_waiting 8")) {}
    assert.equal(await askFrom("127.0.0.2", { url, tokens: 1 }), 200);
    assert.equal(ended, 0);
    stop.abort();
    await Promise.allSettled(greedy);
  } finally {
    await wide.stop();
  }
});

test("errors do not say where the model lies", async () => {
  const { status, body } = await post("/v1/embeddings", { input: "x" });
  assert.equal(status, 400);
  assert.match(body.error?.message ?? "", /^tiny-moe-q8_0\.gguf is not made for embeddings/);
});
