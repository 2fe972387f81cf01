import assert from "node:assert/strict";
import { fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  CancelledError,
  EnvironmentError,
  InternalError,
  type LopsidedError,
  MalformedInputError,
  UsageError,
} from "../errors.js";
import {
  answerMessages,
  decodeForever,
  echo,
  failAssertion,
  loopForever,
  readNowhere,
  throwError,
} from "../testing/engine-jobs.js";
import { Engine } from "./engine.js";
import { computeLogits, describeModel, detokenizeTokens, tokenizeText } from "./jobs.js";
import type { LogLine } from "./log.js";

const path = fileURLToPath(new URL("../../fixtures/tiny-moe-q8_0.gguf", import.meta.url));
const model = { path };
const folder = mkdtempSync(join(tmpdir(), "lopsided-engine-"));
const lines: LogLine[] = [];
const engine = new Engine({ onLog: (line) => lines.push(line) });
after(async () => {
  await engine.close();
  rmSync(folder, { recursive: true });
});

/** Runs a job that must fail, and returns its error. */
async function failure(running: Promise<unknown>): Promise<LopsidedError> {
  return running.then(
    () => assert.fail("the job succeeded"),
    (error: LopsidedError) => error,
  );
}

test("facts, tokens and logits come from the child", async () => {
  const fractions: number[] = [];
  const facts = await engine.run(
    describeModel,
    { model },
    { onLoad: (_path, fraction) => fractions.push(fraction) },
  );
  assert.equal(facts.vocabularySize, 2048);
  assert.equal(facts.metadata.get("general.architecture"), "qwen3moe");
  assert.equal(fractions.at(-1), 1);
  const tokens = await engine.run(tokenizeText, { model, text: "def main():" });
  assert.equal(await engine.run(detokenizeTokens, { model, tokens }), "def main():");
  const logits = await engine.run(computeLogits, { model, tokens, threads: 1 });
  assert.equal(logits.length, 2048);
  assert.ok(logits.every(Number.isFinite));
  const all = await engine.run(computeLogits, { model, tokens, everyPosition: true, threads: 1 });
  assert.equal(all.length, tokens.length * 2048);
});

test("native log lines reach the parent with their level", () => {
  assert.ok(lines.some(({ level, text }) => level === "info" && /general.architecture str/.test(text)));
  assert.ok(lines.every(({ level }) => level !== "debug"));
});

test("jobs run in the order given, and their events come before their results", async () => {
  const heard: (number | string)[] = [];
  const values = new Float32Array([1, 2, 3]);
  const first = engine.run(echo, { values }, { onEvent: (value) => heard.push(value) });
  const second = engine.run(echo, { values: values.slice(0, 1) }, { onEvent: (value) => heard.push(value) });
  void first.then(() => heard.push("first"));
  assert.deepEqual(await first, { values, sum: 6 });
  await second;
  assert.deepEqual(heard, [1, 2, 3, "first", 1]);
});

test("a running job takes messages in their order, also those sent before its turn", async () => {
  const heard: string[] = [];
  const before = engine.run(echo, { values: new Float32Array(1) });
  const job = engine.start(
    answerMessages,
    { path },
    {
      onEvent: (event) => {
        heard.push(event);
        if (event === "b!") {
          job.send("c");
        }
        if (event === "c!") {
          job.send("end");
        }
      },
    },
  );
  job.send("a");
  job.send("b");
  await before;
  assert.equal(await job.result, 3);
  assert.deepEqual(heard, ["a!", "b!", "c!"]);
  job.send("late");
  const next = engine.start(answerMessages, { path }, { onEvent: () => assert.fail("not its message") });
  next.send("end");
  assert.equal(await next.result, 0);
});

test("a sleeping job is woken by a cancellation", async () => {
  const before = engine.processId;
  const stop = new AbortController();
  const job = engine.start(
    answerMessages,
    { path },
    { signal: stop.signal, onEvent: () => setImmediate(() => stop.abort()) },
  );
  job.send("a");
  assert.ok((await failure(job.result)) instanceof CancelledError);
  assert.equal(engine.processId, before);
});

test("a job's errors keep their class, message and details", async () => {
  const own = await failure(engine.run(throwError, { own: true }));
  assert.ok(own instanceof UsageError);
  assert.equal(own.message, "not like this.");
  assert.deepEqual(own.details, { option: "x" });
  const bug = await failure(engine.run(throwError, { own: false }));
  assert.ok(bug instanceof InternalError);
  assert.equal(bug.message, "a bug");
});

test("cancelling stops a decode, and the engine goes on", async () => {
  const before = engine.processId;
  const stop = new AbortController();
  const error = await failure(
    engine.run(decodeForever, { path }, { signal: stop.signal, onEvent: () => stop.abort() }),
  );
  assert.ok(error instanceof CancelledError);
  assert.equal((await engine.run(describeModel, { model })).layers, 4);
  assert.equal(engine.processId, before);
  const aborted = engine.run(describeModel, { model }, { signal: AbortSignal.abort() });
  assert.ok((await failure(aborted)) instanceof CancelledError);
});

test("cancelling ends a child that does not listen, and the next job gets a new one", async () => {
  const before = engine.processId;
  const stop = new AbortController();
  const error = await failure(
    engine.run(loopForever, { path }, { signal: stop.signal, onEvent: () => stop.abort() }),
  );
  assert.ok(error instanceof CancelledError);
  assert.equal((await engine.run(describeModel, { model })).layers, 4);
  assert.notEqual(engine.processId, before);
});

test("a failed assertion in native code names the step and the model and quotes the last words", async () => {
  const error = await failure(engine.run(failAssertion, { path }));
  assert.ok(error instanceof EnvironmentError);
  assert.ok(
    error.message.startsWith(
      `llama.cpp crashed while decoding with ${path}: it found an inconsistency and aborted. Its last words: `,
    ),
    error.message,
  );
  assert.match(error.message, /GGML_ASSERT\(offset \+ size <= ggml_nbytes\(tensor\)/);
});

test("a wild pointer in native code becomes an error", async () => {
  const error = await failure(engine.run(readNowhere, { path }));
  assert.ok(error instanceof EnvironmentError);
  assert.ok(
    error.message.startsWith(
      `llama.cpp crashed while working with ${path}: it read or wrote memory that is not there.`,
    ),
    error.message,
  );
});

test("a killed child becomes an error that names the step", async () => {
  const running = engine.run(
    decodeForever,
    { path },
    { onEvent: () => process.kill(engine.processId ?? 0, "SIGKILL") },
  );
  const error = await failure(running);
  assert.ok(error instanceof EnvironmentError);
  assert.equal(
    error.message,
    `llama.cpp's process was killed while decoding with ${path}: most likely memory ran out, so use a smaller model, context or batch, or free memory.`,
  );
});

test("unusable model files are told apart", async () => {
  const bytes = readFileSync(path);
  const file = join(folder, "broken.gguf");
  const describe = () => failure(engine.run(describeModel, { model: { path: file } }));

  const missing = await describe();
  assert.ok(missing instanceof EnvironmentError);
  assert.equal(missing.message, `${file}: no such file; check the path.`);

  writeFileSync(file, "PK\u0003\u0004 something else");
  const other = await describe();
  assert.ok(other instanceof MalformedInputError);
  assert.equal(
    other.message,
    `${file}: is not a GGUF file (it does not begin with "GGUF"); name a GGUF model.`,
  );

  copyFileSync(path, file);
  truncateSync(file, 5_000_000);
  const truncated = await describe();
  assert.ok(truncated instanceof MalformedInputError);
  assert.equal(
    truncated.message,
    `${file}: the tensor "blk.1.ffn_gate_exps.weight" ends after the end of the file (5000000 bytes). The file is truncated; download or write it again.`,
  );

  truncateSync(file, 5000);
  const header = await describe();
  assert.ok(header instanceof MalformedInputError);
  assert.match(header.message, /its header is damaged or truncated/);

  truncateSync(file, 0);
  assert.equal((await describe()).message, `${file}: is empty; download or write it again.`);

  const unknown = Buffer.from(bytes);
  for (let at = unknown.indexOf("qwen3moe"); at >= 0; at = unknown.indexOf("qwen3moe")) {
    unknown.write("qwen9moe", at);
  }
  writeFileSync(file, unknown);
  const architecture = await describe();
  assert.ok(architecture instanceof MalformedInputError);
  assert.equal(
    architecture.message,
    `${file}: llama.cpp 0.5.0 does not know the architecture "qwen9moe"; it can be quantized but not run.`,
  );
});

test("closing cancels the running job", async () => {
  const other = new Engine();
  const running = other.run(decodeForever, { path }, { onEvent: () => void other.close() });
  assert.ok((await failure(running)) instanceof CancelledError);
});

test("without the library's package the error says how to install it", async () => {
  const copy = join(folder, "uninstalled");
  const dist = fileURLToPath(new URL("..", import.meta.url));
  cpSync(dist, copy, { recursive: true });
  writeFileSync(join(copy, "package.json"), '{ "type": "module" }');
  const script = `
    import { Engine } from "./engine/engine.js";
    import { describeModel } from "./engine/jobs.js";
    const engine = new Engine();
    await engine.run(describeModel, { model: { path: "x" } }).catch((error) => console.log(error.name, error.message));
    await engine.close();`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    cwd: copy,
    encoding: "utf8",
  });
  assert.match(
    stdout,
    /^EnvironmentError llama\.cpp's library is not installed: none of .* was found\. Run "npm install --include=optional"/,
    stderr,
  );
});

test("an idle engine does not keep the program running, and its child ends with it", async () => {
  const script = `
    import { Engine } from ${JSON.stringify(new URL("./engine.js", import.meta.url).href)};
    import { describeModel } from ${JSON.stringify(new URL("./jobs.js", import.meta.url).href)};
    const engine = new Engine();
    await engine.run(describeModel, { model: { path: ${JSON.stringify(path)} } });
    console.log(engine.processId);`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
    timeout: 20_000,
  });
  assert.equal(status, 0, stderr);
  await assertEnds(Number(stdout));
});

test("a killed parent takes a working child with it", async () => {
  const script = join(folder, "parent.mjs");
  writeFileSync(
    script,
    `import { Engine } from ${JSON.stringify(new URL("./engine.js", import.meta.url).href)};
     import { decodeForever } from ${JSON.stringify(new URL("../testing/engine-jobs.js", import.meta.url).href)};
     const engine = new Engine();
     await engine.run(decodeForever, { path: ${JSON.stringify(path)} }, {
       onEvent: () => process.send(engine.processId),
     });`,
  );
  const parent = fork(script, { execArgv: [] });
  const [child] = (await once(parent, "message")) as [number];
  parent.kill("SIGKILL");
  await assertEnds(child);
});

/** Waits until a process is gone, or dead and only not yet reaped; the test's own time limit is the only clock. */
async function assertEnds(processId: number): Promise<void> {
  assert.ok(processId > 0);
  while (isAlive(processId)) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
  } catch {
    return false;
  }
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${processId}/stat`, "utf8"));
  } catch {
    return process.platform !== "linux";
  }
}
