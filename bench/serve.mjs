// The server under load, and its speed against llama.cpp's own batched decode loop:
//   node bench/serve.mjs [--requests 5000] [--clients 64] [--slots 8] [--rounds 5] [--threads 1] [--only load|soak|speed|kill]
// Every request carries two numbers that its answer repeats, so that an answer that went to someone else shows. Of `soak`
// (only if asked for) every other one has a tool that must be called or a schema, which allow one number that no other
// request has. One thread is right for a busy machine: threads that wait for each other cost more.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Engine } from "../dist/engine/engine.js";
import { tokenizeText } from "../dist/engine/jobs.js";
import { Generator } from "../dist/generate/generator.js";
import { greedy } from "../dist/generate/request.js";
import { compareSteps } from "./batch-job.mjs";
import { childrenOf, descendantsOf } from "./processes.mjs";
import { writeResult } from "./result.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const path = `${root}fixtures/tiny-moe-q8_0.gguf`;
const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "5000" },
    clients: { type: "string", default: "64" },
    slots: { type: "string", default: "8" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: "1" },
    only: { type: "string" },
  },
});
const [requests, clients, slots, rounds, threads] = ["requests", "clients", "slots", "rounds", "threads"].map(
  (name) => Number(values[name]),
);
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
const quantile = (numbers, part) =>
  numbers.toSorted((a, b) => a - b)[Math.floor(part * (numbers.length - 1))];

/** A question with two numbers, and what its answer must have. */
function taskOf(heads, legs, [first, second]) {
  return {
    question: `A farmer has ${first} and ${second}. Together they have ${heads} heads and ${legs} legs. How many ${first} and how many ${second} are there?`,
    begins: `If all ${heads} were ${first}`,
    contains: `That leaves ${legs} - `,
  };
}

/** Tasks whose numbers the model repeats and is sure of: what it gets wrong by itself says nothing of the server. */
async function chooseTasks(generator) {
  const animals = [
    ["chickens", "rabbits"],
    ["ducks", "cows"],
    ["hens", "goats"],
  ];
  const tasks = animals.flatMap((pair) =>
    Array.from({ length: 30 }, (_, index) => 20 + index).flatMap((heads) =>
      Array.from({ length: 10 }, (_, index) => taskOf(heads, 2 * heads + 8 + 4 * index, pair)),
    ),
  );
  const isSure = async ({ question, begins, contains }) => {
    const prompt = chatMl(question);
    const { text, logprobs } = await generator.generate({
      prompt,
      maxTokens: 40,
      sampling: greedy,
      logprobs: 0,
    });
    const end = text.indexOf(contains) + contains.length;
    let at = 0;
    const numbers = logprobs.filter(({ bytes }) => {
      at += bytes.length;
      const isInSum = at > text.indexOf("2 *") && at <= text.indexOf("That");
      return at <= end && !isInSum;
    });
    return (
      text.startsWith(begins) && text.includes(contains) && numbers.every(({ logprob }) => logprob > -0.1)
    );
  };
  const sure = await Promise.all(tasks.map(isSure));
  return tasks.filter((_, index) => sure[index]);
}

const chatMl = (question) => `<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`;

/** One request, of one of four kinds and one of five lengths; its answer's text and tokens. */
function request(url, index, { question }) {
  const isChat = index % 2 === 0;
  const stream = index % 4 < 2;
  const body = {
    ...(isChat ? { messages: [{ role: "user", content: question }] } : { prompt: chatMl(question) }),
    max_tokens: [40, 60, 48, 150, 80][index % 5],
    temperature: 0,
    stream,
    ...(stream ? { stream_options: { include_usage: true } } : {}),
  };
  return send(`${url}/v1/${isChat ? "chat/" : ""}completions`, body);
}

/** A chat whose answer must be a call, or JSON by a schema; both have a number that is the request's own. */
async function constrainedRequest(url, index, { question }) {
  const stream = index % 4 < 2;
  const schema = {
    type: "object",
    properties: { number: { const: index }, certain: { type: "boolean" } },
    required: ["number", "certain"],
    additionalProperties: false,
  };
  const rules =
    index % 3 === 0
      ? {
          tools: [{ type: "function", function: { name: `answer_${index}`, parameters: schema } }],
          tool_choice: "required",
          parallel_tool_calls: false,
        }
      : { response_format: { type: "json_schema", json_schema: { name: "answer", schema } } };
  const { text, tokens, calls, finish } = await send(`${url}/v1/chat/completions`, {
    messages: [{ role: "user", content: question }],
    max_tokens: 400,
    temperature: 0,
    stream,
    ...(stream ? { stream_options: { include_usage: true } } : {}),
    ...rules,
  });
  if (finish === "length") {
    throw new Error(`cut off after ${tokens} tokens: ${text}${calls.arguments}`);
  }
  const isCalled = rules.tools === undefined || calls.name === `answer_${index}`;
  const { number, certain } = JSON.parse(rules.tools === undefined ? text : calls.arguments);
  return { text, tokens, isOurs: isCalled && number === index && typeof certain === "boolean" };
}

/** Sends a body, and puts the answer together: its text, its tokens, the name and arguments of its call. */
async function send(address, body) {
  const { stream } = body;
  const response = await fetch(address, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const received = await response.text();
  if (!response.ok) {
    throw new Error(`status ${response.status}: ${received}`);
  }
  const events = stream
    ? received
        .split("\n\n")
        .filter((event) => event.startsWith("data: {"))
        .map((event) => JSON.parse(event.slice(6)))
    : [JSON.parse(received)];
  if (stream && !received.endsWith("data: [DONE]\n\n")) {
    throw new Error("the stream has no end");
  }
  const choices = events.flatMap((event) => event.choices);
  const text = choices
    .map((choice) => choice.text ?? choice.message?.content ?? choice.delta?.content ?? "")
    .join("");
  const parts = choices.flatMap(({ message, delta }) => (message ?? delta)?.tool_calls ?? []);
  const joined = (field) => parts.map((part) => part.function?.[field] ?? "").join("");
  const calls = { name: joined("name"), arguments: joined("arguments") };
  const finish = choices.findLast(({ finish_reason }) => finish_reason)?.finish_reason;
  return { text, tokens: events.at(-1).usage.completion_tokens, calls, finish };
}

/** Resident bytes of a process and all its descendants. */
function residentBytes(processId) {
  try {
    const own = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${processId}/status`, "utf8"))?.[1] ?? 0;
    return Number(own) * 1024 + childrenOf(processId).reduce((sum, child) => sum + residentBytes(child), 0);
  } catch {
    return 0; // ended meanwhile, or not Linux
  }
}

/** The process in which the server's model runs. */
function engineOf(processId) {
  // Where it is confined, bubblewrap's processes lie between, which have its command among their arguments.
  const isEngine = (child) =>
    readFileSync(`/proc/${child}/cmdline`, "utf8").split("\0")[1]?.endsWith("engine/child.js");
  return descendantsOf(processId).find(isEngine);
}

/** Kills the engine's process in the middle of a load: who gets an error, and how long until the next answer. */
async function measureKill() {
  const server = await startServer();
  const answered = [];
  const failed = [];
  let killedAt;
  let next = 0;
  const task = taskOf(35, 94, ["chickens", "rabbits"]);
  const client = async () => {
    for (let index = next++; index < 600; index = next++) {
      if (index === 300) {
        process.kill(engineOf(server.processId), "SIGKILL");
        killedAt = performance.now();
      }
      const begunAt = performance.now();
      try {
        await request(server.url, index, task);
        answered.push(performance.now());
      } catch (error) {
        failed.push({ begunAt, message: error.message });
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  server.child.kill("SIGTERM");
  await once(server.child, "exit");
  return {
    requests: 600,
    failed: failed.length,
    failedBegunAfterTheKill: failed.filter(({ begunAt }) => begunAt > killedAt).length,
    secondsToTheNextAnswer: (Math.min(...answered.filter((at) => at > killedAt + 50)) - killedAt) / 1000,
    message: failed[0]?.message,
  };
}

async function startServer() {
  const child = spawn(
    process.execPath,
    [`${root}dist/cli/main.js`, "serve", path, "--port", "0", "--json"].concat(
      ["-np", slots, "-c", 512 * slots, "-t", threads].map(String),
    ),
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  return { child, ...JSON.parse(line) };
}

/** Some requests of all clients; with `constrained` every other one has a tool or a schema. */
async function measureLoad({ constrained = false } = {}) {
  const generator = new Generator({ model: { path }, slots, threads, contextLength: 512 });
  const tasks = await chooseTasks(generator);
  await generator.close();
  const server = await startServer();
  const outcome = { requests, clients, answered: 0, lost: 0, mixedUp: 0, tokens: 0, problems: [] };
  const seconds = [];
  const memory = [];
  let next = 0;
  const begin = performance.now();
  const client = async () => {
    for (let index = next++; index < requests; index = next++) {
      const started = performance.now();
      if (index % Math.ceil(requests / 20) === 0) {
        memory.push(residentBytes(server.processId));
      }
      try {
        const task = tasks[index % tasks.length];
        const { begins, contains } = task;
        const ask = constrained && index % 2 === 1 ? constrainedRequest : request;
        const number = constrained ? Math.floor(index / 2) : index;
        const { text, tokens, isOurs } = await ask(server.url, number, task);
        if (isOurs ?? (text.startsWith(begins) && text.includes(contains))) {
          outcome.answered++;
        } else {
          outcome.mixedUp++;
          outcome.problems.push(`${begins}, ${contains}: ${text}`);
        }
        outcome.tokens += tokens;
      } catch (error) {
        outcome.lost++;
        outcome.problems.push(`${index}: ${error.message} ${error.cause ?? ""}`);
      }
      seconds.push((performance.now() - started) / 1000);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  const elapsed = (performance.now() - begin) / 1000;
  memory.push(residentBytes(server.processId));
  server.child.kill("SIGTERM");
  await once(server.child, "exit");
  outcome.problems = outcome.problems.slice(0, 10);
  return {
    ...outcome,
    differentTasks: tasks.length,
    seconds: elapsed,
    requestsPerSecond: requests / elapsed,
    tokensPerSecond: outcome.tokens / elapsed,
    medianSeconds: median(seconds),
    seconds99: quantile(seconds, 0.99),
    memoryMegabytes: memory.map((bytes) => Math.round(bytes / 1e6)),
  };
}

/**
 * Times of a step that gives each of the slots a token, ours and llama.cpp's, in turns: what disturbs one disturbs the
 * other as much, and medians leave out what disturbs a few.
 */
async function measureSpeed() {
  const engine = new Engine();
  const texts = Array.from({ length: slots }, (_, index) =>
    chatMl(taskOf(20 + index, 80 + index, ["chickens", "rabbits"]).question),
  );
  const prompts = [];
  for (const text of texts) {
    const options = { parseSpecial: true };
    prompts.push(Array.from(await engine.run(tokenizeText, { model: { path }, text, options })));
  }
  const times = { ours: [], loop: [] };
  for (let round = 0; round < rounds; round++) {
    const { ours, loop } = await engine.run(compareSteps, {
      path,
      prompts,
      steps: 200,
      contextLength: 512,
      threads,
    });
    times.ours.push(...ours.slice(2));
    times.loop.push(...loop.slice(2));
  }
  await engine.close();
  const compare = (clock) => {
    const [ours, loop] = [times.ours, times.loop].map((list) => list.map((step) => step[clock]));
    return { ours: median(ours), loop: median(loop), ratio: median(loop) / median(ours) };
  };
  return {
    slots,
    threads,
    rounds,
    millisecondsPerStep: { processor: compare("processor"), elapsed: compare("elapsed") },
  };
}

const parts = {
  load: measureLoad,
  soak: () => measureLoad({ constrained: true }),
  speed: measureSpeed,
  kill: measureKill,
};
const result = {};
for (const [name, measure] of Object.entries(parts)) {
  if (values.only === undefined ? name !== "soak" : values.only === name) {
    result[name] = await measure();
  }
}
writeResult(`${root}out/bench-serve.json`, result);
console.log(JSON.stringify(result, undefined, 2));
