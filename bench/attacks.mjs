// Attacks on the server, and how another client fares meanwhile:
//   node bench/attacks.mjs [--seconds 5]
// The attacker has another address (127.0.0.2) than the client whose answers are timed. Linux only: memory is read from /proc.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { modelProcessOf } from "./processes.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values } = parseArgs({ options: { seconds: { type: "string", default: "5" } } });
const seconds = Number(values.seconds);
let port = workerData?.port;
const address = isMainThread ? "127.0.0.1" : "127.0.0.2";

const agent = new Agent({ localAddress: address, maxSockets: 1000 });

/** Sends a body; the status of the answer, or what went wrong, and its text. */
function post(path, body, signal = undefined) {
  return new Promise((resolve) => {
    const outgoing = request({ host: "127.0.0.1", port, path, method: "POST", agent, signal }, (incoming) => {
      let text = "";
      incoming.on("data", (chunk) => {
        text += chunk;
      });
      incoming.on("end", () => resolve({ status: incoming.statusCode, text }));
      incoming.on("error", (error) => resolve({ status: error.code, text: "" }));
    });
    outgoing.on("error", (error) => resolve({ status: error.code ?? error.name, text: "" }));
    outgoing.end(body);
  });
}

const chat = (messages, more = {}) => JSON.stringify({ messages, max_tokens: 4, ...more });
const small = chat([{ role: "user", content: "What is 3 * 4?" }]);
const nested = (depth) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
const megabytes = (count) => "x".repeat(count * 1e6);

const repeat = (count, make) => Promise.all(Array.from({ length: count }, (_, index) => make(index)));
const chatPath = "/v1/chat/completions";
const attacks = {
  nothing: () => new Promise((resolve) => setTimeout(() => resolve([]), 1000 * seconds)),
  "a message nested 100 000 deep": () =>
    repeat(20, () =>
      post(chatPath, `{"messages":[{"role":"user","content":"x","extra":${nested(100_000)}}]}`),
    ),
  "arguments of a call nested 100 000 deep": () =>
    repeat(20, () => {
      const call = { type: "function", function: { name: "f", arguments: nested(100_000) } };
      return post(chatPath, chat([{ role: "assistant", tool_calls: [call] }]));
    }),
  "8 MB of empty objects": () =>
    repeat(20, () => post(chatPath, `{"messages":[${"{},".repeat(2_600_000)}{}]}`)),
  "<|im_end|>a 40 000 times, in a chat": () =>
    repeat(20, () => post(chatPath, chat([{ role: "user", content: "<|im_end|>a".repeat(40_000) }]))),
  "<|im_end|>a 40 000 times, as a text": () =>
    repeat(20, () => post("/v1/completions", JSON.stringify({ prompt: "<|im_end|>a".repeat(40_000) }))),
  "<|im_end|>a 40 000 times, and hanging up": () =>
    repeat(20, () =>
      post(
        "/v1/completions",
        JSON.stringify({ prompt: "<|im_end|>a".repeat(40_000) }),
        AbortSignal.timeout(50),
      ),
    ),
  "150 bodies of 8 MB": () =>
    repeat(150, () => post(chatPath, chat([{ role: "user", content: megabytes(8) }]))),
  "150 bodies of 9 MB": () =>
    repeat(150, () => post(chatPath, chat([{ role: "user", content: megabytes(9) }]))),
  "9 000 messages": () =>
    repeat(20, () =>
      post(chatPath, chat(Array.from({ length: 9000 }, () => ({ role: "user", content: "x" })))),
    ),
  "500 connections that send nothing, 500 that stop in the middle": async () => {
    const sockets = Array.from({ length: 1000 }, (_, index) => {
      const socket = connect({ port, host: "127.0.0.1", localAddress: "127.0.0.2" });
      socket.on("error", () => {});
      if (index % 2 === 0) {
        socket.write(
          `POST ${chatPath} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n{"messages":`,
        );
      }
      return socket;
    });
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    const open = sockets.filter((socket) => !socket.closed && socket.readyState === "open").length;
    for (const socket of sockets) {
      socket.destroy();
    }
    return [{ status: `${open} left open` }];
  },
  "512 requests for answers at once": () => repeat(512, () => post(chatPath, small)),
};

if (!isMainThread) {
  parentPort.postMessage(await attacks[workerData.name]());
  process.exit();
}

const model = `${root}fixtures/tiny-moe-q8_0.gguf`;
const command = [`${root}dist/cli/main.js`, "serve", "-m", model, "--port", "0", "-t", "1", "--json"];
const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "inherit"] });
process.on("exit", () => child.kill("SIGKILL"));
const [line] = await once(createInterface({ input: child.stdout }), "line");
const { processId } = JSON.parse(line);
({ port } = JSON.parse(line));
let isWrong = false;

/** Resident memory of the server's process, in bytes. */
function memory() {
  return 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${processId}/status`, "utf8"))?.[1]);
}

/** Lets another thread attack, asks for answers meanwhile, and prints how that went. */
async function underAttack(name) {
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { port, name },
    argv: process.argv.slice(2),
  });
  const ended = once(worker, "message");
  let isOver = false;
  ended.finally(() => {
    isOver = true;
  });
  let slowest = 0;
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, memory());
  }, 20);
  while (!isOver) {
    const begin = performance.now();
    const { status, text } = await post(chatPath, small);
    slowest = Math.max(slowest, performance.now() - begin);
    if (status !== 200) {
      isWrong = true;
      console.error(`another client got ${status}: ${text}`);
    }
  }
  clearInterval(watch);
  const [outcomes] = await ended;
  const counts = new Map();
  for (const { status } of outcomes) {
    counts.set(status, (counts.get(status) ?? 0) + 1);
  }
  const got = [...counts].map(([status, count]) => `${count} x ${status}`).join(", ");
  console.log(`| ${name} | ${got} | ${slowest.toFixed(0)} ms | ${(most / 1e6).toFixed(0)} MB |`);
  isWrong ||= slowest > 1000 || most > 400e6;
}

/** What the server says of itself, and what a request gets, while the model's process stands still. */
async function stopEngine() {
  const engine = modelProcessOf(processId, "tiny-moe");
  process.kill(engine, "SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, 5000));
  const begin = performance.now();
  const health = await fetch(`http://127.0.0.1:${port}/health`);
  const { status } = await post(chatPath, small);
  const took = performance.now() - begin;
  process.kill(engine, "SIGCONT");
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const after = await post(chatPath, small);
  console.log(
    `| engine stopped (SIGSTOP), then continued | /health ${health.status}, then ${after.status} | ${status} in ${took.toFixed(0)} ms | ${(memory() / 1e6).toFixed(0)} MB |`,
  );
  isWrong ||= health.status !== 503 || status !== 503 || after.status !== 200 || took > 1000;
}

console.log("| attack | what the attacker got | another client's slowest answer | memory |");
console.log("| --- | --- | --- | --- |");
for (let warm = 0; warm < 3; warm++) {
  await post(chatPath, small);
}
for (const name of Object.keys(attacks)) {
  await underAttack(name);
}
await stopEngine();
child.kill("SIGTERM");
await once(child, "exit");
process.exitCode = isWrong ? 1 : 0;
