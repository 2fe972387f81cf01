import assert from "node:assert/strict";
import { test } from "node:test";
import { CancelledError, EnvironmentError, InternalError, MalformedInputError } from "../errors.js";
import { crashError } from "./crash.js";
import { contextFailure, loadFailure } from "./failures.js";
import { checkCacheFits, checkFitsMemory, findModelFiles, memoryLimitBytes } from "./limits.js";
import { type LogLine, NativeLog } from "./log.js";
import { parseMemoryUse } from "./memory-use.js";
import { deserializeError, formatLogLine, formatStep, parseErrorLine, serializeError } from "./messages.js";

const errorLine = (text: string): LogLine => ({ level: "error", text });

test("log lines are put together from their parts, without debug lines", () => {
  const log = new NativeLog();
  const heard: LogLine[] = [];
  log.onLine = (line) => heard.push(line);
  log.write(2, "one\n");
  const mark = log.mark;
  log.write(3, "two ");
  log.write(5, "and a half\nthree");
  log.write(5, "\n");
  log.write(1, "details\n");
  log.write(2, "\n");
  assert.deepEqual(log.since(mark), [
    { level: "warn", text: "two and a half" },
    { level: "warn", text: "three" },
  ]);
  assert.equal(heard.length, 3);
});

test("a long log is cut at its beginning", () => {
  const log = new NativeLog();
  for (let index = 0; index < 5000; index++) {
    log.write(2, `line ${index}\n`);
  }
  assert.ok(log.since(0).length <= 2000);
  assert.deepEqual(
    log.since(4998).map(({ text }) => text),
    ["line 4998", "line 4999"],
  );
});

test("steps are told once each", () => {
  const log = new NativeLog();
  const steps: string[] = [];
  log.onStep = (step) => steps.push(step);
  for (const step of ["loading", "decoding", "decoding", "loading"]) {
    log.step(step);
  }
  assert.deepEqual(steps, ["loading", "decoding", "loading"]);
});

test("lines of the child's standard error are read back; unmarked ones are native errors", () => {
  const line: LogLine = { level: "warn", text: "a\u001eb" };
  assert.deepEqual(parseErrorLine(formatLogLine(line).trimEnd()), line);
  assert.deepEqual(parseErrorLine(formatStep("loading x").trimEnd()), { step: "loading x" });
  assert.deepEqual(parseErrorLine("terminate called"), errorLine("terminate called"));
});

test("errors keep their class on the way to the parent", () => {
  for (const error of [new CancelledError("stop."), new MalformedInputError("bad.", { file: "x" })]) {
    const copy = deserializeError(structuredClone(serializeError(error)));
    assert.equal(copy.constructor, error.constructor);
    assert.equal(copy.message, error.message);
    assert.deepEqual(copy.details, error.details);
  }
  assert.ok(deserializeError(serializeError("just text")) instanceof InternalError);
});

test("a crash while loading is the file's fault, a later one is not", () => {
  const words = [{ level: "info", text: "loading" } as LogLine, errorLine("GGML_ASSERT(x) failed")];
  const loading = crashError("loading m.gguf", words, null, "SIGABRT");
  assert.ok(loading instanceof MalformedInputError);
  assert.equal(
    loading.message,
    "llama.cpp crashed while loading m.gguf: it found an inconsistency and aborted. Its last words: GGML_ASSERT(x) failed",
  );
  const later = crashError("decoding with m.gguf", [], null, "SIGILL");
  assert.ok(later instanceof EnvironmentError);
  assert.equal(
    later.message,
    "llama.cpp crashed while decoding with m.gguf: it used an instruction that this processor does not have.",
  );
  assert.match(crashError("x", [], 7, null).message, /it ended with status 7/);
});

test("failed allocations are told with the sizes", () => {
  const lines = [
    errorLine("alloc: failed to allocate CPU buffer of size 5"),
    errorLine("failed to load model"),
  ];
  const load = loadFailure("m.gguf", 40e9, lines);
  assert.ok(load instanceof EnvironmentError);
  assert.match(load.message, /^m\.gguf: its weights \(40\.0 GB\) do not fit in memory \(/);
  const context = contextFailure("m.gguf", 4096, lines);
  assert.match(context.message, /^m\.gguf: a context of 4096 tokens does not fit in memory \(/);
  assert.match(contextFailure("m.gguf", 1, []).message, /it gave no reason/);
  assert.match(loadFailure("m.gguf", 1, [errorLine("odd")]).message, /cannot load it: odd\./);
});

test("weights and caches larger than the memory are refused before llama.cpp is asked", () => {
  const bytes = 10 * memoryLimitBytes();
  assert.throws(
    () => checkFitsMemory("m.gguf", bytes, []),
    /its weights take .* GB, but this machine has .* GB/,
  );
  const card = {
    name: "GPU0",
    description: "",
    kind: "gpu",
    memoryBytes: bytes,
    freeBytes: bytes,
  } as const;
  checkFitsMemory("m.gguf", bytes, [card]);
  const need = { tokens: 1e9, bytesPerToken: 1e6, devices: [] };
  assert.throws(
    () => checkCacheFits("m.gguf", need),
    /the KV cache of 1000000000 tokens takes 1000000\.0 GB \(1000000 bytes per token\)/,
  );
});

test("the first part of a split model stands for all", () => {
  assert.throws(
    () => findModelFiles("/none/m-00002-of-00003.gguf"),
    /is part 2 of a split model; name its first part/,
  );
  assert.throws(() => findModelFiles("/none/m-00001-of-00003.gguf"), /m-00001-of-00003\.gguf: no such file/);
});

test("memory use is added up over devices and purposes", () => {
  const lines = [
    "load_tensors:   CPU_Mapped model buffer size =  1024.00 MiB",
    "load_tensors:        CUDA0 model buffer size =     1.50 MiB",
    "llama_kv_cache:        CPU KV buffer size =     4.00 MiB",
    "llama_context:        CPU  output buffer size =     0.25 MiB",
    "sched_reserve:        CPU compute buffer size =     8.00 MiB",
    "unrelated = 3 MiB",
  ].map((text): LogLine => ({ level: "info", text }));
  const use = parseMemoryUse(lines);
  const mebibyte = 2 ** 20;
  assert.equal(use.weightsBytes, 1025.5 * mebibyte);
  assert.equal(use.cacheBytes, 4 * mebibyte);
  assert.equal(use.computeBytes, 8.25 * mebibyte);
  assert.deepEqual(use.devices.get("CUDA0"), {
    weightsBytes: 1.5 * mebibyte,
    cacheBytes: 0,
    computeBytes: 0,
  });
});
