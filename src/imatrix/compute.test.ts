import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { MemorySource } from "../bytes/source.js";
import { Engine } from "../engine/engine.js";
import { tokenizeText } from "../engine/jobs.js";
import { CancelledError } from "../errors.js";
import { metadataNumber } from "../gguf/metadata.js";
import { readGgufHeader } from "../gguf/reader.js";
import { openModel } from "../model/open.js";
import { rowCount, weightCount } from "../model/source.js";
import { decodeRows } from "../quants/codec.js";
import { fixture, lopsided } from "../testing/command.js";
import { FileServer } from "../testing/file-server.js";
import { temporaryFolder } from "../testing/temporary.js";
import { imatrix } from "./compute.js";
import { readImatrixFile } from "./file.js";
import type { ImatrixOptions } from "./imatrix-command.js";

const model = fixture("tiny-moe-q8_0.gguf");
const text = fixture("text/calibration.txt");
const engine = new Engine();
after(() => engine.close());

function compute(output: string, options: Partial<ImatrixOptions> = {}) {
  return imatrix({
    model,
    text,
    output,
    ctx: 64,
    chunks: 8,
    parseSpecial: true,
    engine,
    ...options,
  });
}

test("statistics have llama-imatrix's names, shapes and counts", async (t) => {
  const output = join(await temporaryFolder(t), "imatrix.gguf");
  const result = await compute(output);
  const imatrix = await readImatrixFile(output);
  const reference = await readImatrixFile(fixture("reference/imatrix.gguf"));
  assert.deepEqual([...imatrix.entries.keys()], [...reference.entries.keys()]);
  const tokens = 8 * 64;
  for (const [name, { sums, counts }] of imatrix.entries) {
    assert.equal(sums.length, reference.entries.get(name)!.sums.length);
    assert.equal(counts.length, reference.entries.get(name)!.counts.length);
    const total = counts.reduce((sum, count) => sum + count);
    assert.equal(total, counts.length === 1 ? tokens : 4 * tokens);
  }
  // Gate and up see the same inputs, and so do query, key and value.
  for (const [a, b] of [
    ["blk.1.ffn_gate_exps.weight", "blk.1.ffn_up_exps.weight"],
    ["blk.1.attn_q.weight", "blk.1.attn_v.weight"],
  ] as const) {
    assert.deepEqual(imatrix.entries.get(a), imatrix.entries.get(b));
  }
  assert.deepEqual(imatrix.datasets, [basename(text)]);
  assert.deepEqual([imatrix.chunkCount, imatrix.chunkSize, imatrix.run], [8, 64, undefined]);
  assert.deepEqual([result.chunks, result.tokens, result.tensors, result.resumedFrom], [8, tokens, 32, 0]);
  assert.equal(result.coverage.length, 12);
});

test("the first layer's sums are those of the normalized embeddings of the text's tokens", async (t) => {
  const output = join(await temporaryFolder(t), "imatrix.gguf");
  await compute(output);
  const tokens = await engine.run(tokenizeText, {
    model: { path: model },
    text: await readFile(text),
    options: { parseSpecial: true },
  });
  const source = await openModel(model);
  t.after(() => source.close());
  const floatsOf = async (name: string) => {
    const tensor = source.tensors.find((one) => one.name === name)!;
    const values = new Float32Array(weightCount(tensor.shape));
    decodeRows(tensor.type, await tensor.readRows(0, rowCount(tensor.shape)), values);
    return values;
  };
  const [embedding, norm] = [await floatsOf("token_embd.weight"), await floatsOf("blk.0.attn_norm.weight")];
  const epsilon = metadataNumber(source.metadata, "qwen3moe.attention.layer_norm_rms_epsilon")!;
  const expected = new Float64Array(256);
  for (const token of tokens.subarray(0, 8 * 64)) {
    const row = embedding.subarray(256 * token, 256 * (token + 1));
    const meanSquare = row.reduce((sum, value) => sum + value * value, 0) / 256;
    row.forEach((value, i) => {
      expected[i]! += (value * norm[i]!) ** 2 / (meanSquare + epsilon);
    });
  }
  const { sums } = (await readImatrixFile(output)).entries.get("blk.0.attn_q.weight")!;
  for (const [i, sum] of sums.entries()) {
    assert.ok(
      Math.abs(sum - expected[i]!) < 1e-4 * expected[i]!,
      `column ${i}: ${sum} against ${expected[i]}`,
    );
  }
});

test("the output matrix, the prior, both formats and merging", async (t) => {
  const folder = await temporaryFolder(t);
  const [first, dat, merged] = ["first.gguf", "second.dat", "merged.gguf"].map((name) => join(folder, name));
  await compute(first!, { processOutput: true, priorWeight: 2 });
  await compute(dat!, { chunks: 4 });
  const result = await compute(merged!, { merge: [first!, dat!] });
  const [a, b, sum] = await Promise.all([first!, dat!, merged!].map(readImatrixFile));
  assert.ok(a!.entries.has("output.weight"));
  assert.equal(a!.priorWeight, 2);
  assert.equal(b!.format, "dat");
  assert.deepEqual([...b!.entries.get("blk.0.attn_q.weight")!.counts], [4]);
  assert.deepEqual([...sum!.entries.get("blk.0.attn_q.weight")!.counts], [(8 + 4 + 8) * 64]);
  assert.equal(sum!.chunkCount, 20);
  assert.equal(sum!.datasets.length, 3);
  assert.equal(result.tokens, 8 * 64);
  assert.deepEqual((await readdir(folder)).sort(), ["first.gguf", "merged.gguf", "second.dat"]);
});

test("progress counts chunks, and thin experts are warned of", async (t) => {
  const done: number[] = [];
  const warnings: string[] = [];
  await compute(join(await temporaryFolder(t), "imatrix.gguf"), {
    ctx: 32,
    chunks: 65,
    onProgress: (progress) => progress.step === "imatrix" && done.push(progress.done),
    onWarning: (warning) => warnings.push(warning),
  });
  assert.deepEqual(done, [0, 64, 65]);
  assert.match(warnings.join(), /experts saw fewer than 128 tokens/);
});

test("a run that was killed goes on where it was, and ends with the same bytes", async (t) => {
  const folder = await temporaryFolder(t);
  const [whole, killed] = [join(folder, "whole.gguf"), join(folder, "killed.gguf")];
  const options = [
    "--ctx",
    "64",
    "--chunks",
    "40",
    "--parse-special",
    "--output-frequency",
    "1",
    "--threads",
    "1",
  ];
  await compute(whole, { chunks: 40 });
  const main = fileURLToPath(new URL("../cli/main.js", import.meta.url));
  const run = spawn(process.execPath, [main, "imatrix", model, text, "-o", killed, ...options], {
    stdio: "ignore",
  });
  while (!existsSync(`${killed}.partial`) && run.exitCode === null) {
    await sleep(5);
  }
  run.kill("SIGKILL");
  await once(run, "exit");
  assert.equal(existsSync(killed), false);
  const saved = await readImatrixFile(`${killed}.partial`);
  const outcome = await lopsided(["imatrix", model, text, "-o", killed, ...options, "--json"]);
  assert.equal(outcome.status, 0, outcome.stderr);
  const { resumedFrom } = JSON.parse(outcome.stdout);
  assert.ok(resumedFrom >= saved.chunkCount && resumedFrom > 0, `resumed from ${resumedFrom}`);
  assert.ok((await readFile(killed)).equals(await readFile(whole)));
  assert.deepEqual((await readdir(folder)).sort(), ["killed.gguf", "whole.gguf"]);
});

test("one window of layers, two, or one for each layer give the same bytes", async (t) => {
  const folder = await temporaryFolder(t);
  const [whole, windows] = [join(folder, "whole.gguf"), join(folder, "windows.gguf")];
  for (const processOutput of [false, true]) {
    await compute(whole, { processOutput, chunks: 35 });
    for (const layersPerWindow of [1, 2, 3]) {
      const places: number[] = [];
      await compute(windows, {
        processOutput,
        chunks: 35,
        layersPerWindow,
        onProgress: ({ step, done }) => step === "imatrix" && places.push(done),
      });
      assert.ok(
        (await readFile(windows)).equals(await readFile(whole)),
        `${layersPerWindow} layers at a time`,
      );
      assert.deepEqual(
        places,
        places.toSorted((a, b) => a - b),
      );
      assert.equal(places.at(-1), 35);
    }
  }
  assert.deepEqual((await readdir(folder)).sort(), ["whole.gguf", "windows.gguf"]);
});

test("a model from a server is calibrated without being stored, its weights served once", async (t) => {
  const folder = await temporaryFolder(t);
  const [local, remote] = [join(folder, "local.gguf"), join(folder, "remote.gguf")];
  const bytes = await readFile(model);
  const server = await FileServer.start(t, { "/tiny.gguf": bytes });
  // Of the requests 5 % fail.
  const failed = new Set<number>();
  server.fault = ({ index }) => (index % 20 === 7 && failed.add(index) ? { status: 503 } : undefined);
  await compute(local);
  await compute(remote, { model: `${server.address}/tiny.gguf`, layersPerWindow: 1 });
  assert.ok((await readFile(remote)).equals(await readFile(local)));
  assert.ok(failed.size > 0);
  assert.ok(server.bytesSent < 1.2 * bytes.length, `${server.bytesSent} bytes of ${bytes.length}`);
  const served = new Uint8Array(bytes.length);
  for (const { range } of server.requests.filter(({ index }) => !failed.has(index))) {
    const [, first = 0, last = -1] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
    for (let at = Number(first); at <= Number(last); at++) {
      served[at]!++;
    }
  }
  const source = new MemorySource("tiny.gguf", bytes);
  for (const { name, offset, byteLength } of (await readGgufHeader(source)).tensors) {
    if (name.startsWith("blk.")) {
      assert.deepEqual(new Set(served.subarray(offset, offset + byteLength)), new Set([1]), name);
    }
  }
});

test("a Hugging Face folder is calibrated like the file that it is converted to", async (t) => {
  const folder = await temporaryFolder(t);
  const [converted, fromFile, fromFolder] = ["converted.gguf", "a.gguf", "b.gguf"].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  const made = await lopsided(["convert", fixture("tiny-moe"), converted, "--type", "BF16"]);
  assert.equal(made.status, 0, made.stderr);
  await compute(fromFile, { model: converted });
  await compute(fromFolder, { model: fixture("tiny-moe") });
  assert.ok((await readFile(fromFolder)).equals(await readFile(fromFile)));
});

test("a run in windows that was stopped goes on in the middle of one, and ends with the same bytes", async (t) => {
  const folder = await temporaryFolder(t);
  const [whole, stopped] = [join(folder, "whole.gguf"), join(folder, "stopped.gguf")];
  await compute(whole, { chunks: 70 });
  const options = { chunks: 70, layersPerWindow: 2, outputFrequency: 1 };
  const abort = new AbortController();
  const first = compute(stopped, {
    ...options,
    signal: abort.signal,
    onProgress: ({ step, done }) => step === "imatrix" && done === 51 && abort.abort(),
  });
  await assert.rejects(first, CancelledError);
  const { resumedFrom } = await compute(stopped, options);
  assert.ok(resumedFrom >= 16 && resumedFrom <= 51, `resumed from ${resumedFrom}`);
  assert.ok((await readFile(stopped)).equals(await readFile(whole)));
  assert.deepEqual((await readdir(folder)).sort(), ["stopped.gguf", "whole.gguf"]);
});

test("a checkpoint of another run, or a damaged one, is not continued", async (t) => {
  const folder = await temporaryFolder(t);
  const output = join(folder, "imatrix.gguf");
  const abort = new AbortController();
  const stopped = compute(output, {
    chunks: 40,
    outputFrequency: 1,
    signal: abort.signal,
    onProgress: ({ step, done }) => step === "imatrix" && done === 32 && abort.abort(),
  });
  await assert.rejects(stopped, (error: Error) => {
    assert.ok(error instanceof CancelledError);
    assert.match(error.message, /imatrix\.gguf\.partial; the same command goes on from there\.$/);
    return true;
  });
  const checkpoint = await readFile(`${output}.partial`);
  assert.equal((await compute(output, { ctx: 32, chunks: 8 })).resumedFrom, 0);
  await writeFile(`${output}.partial`, checkpoint);
  await truncate(`${output}.partial`, 5000);
  assert.equal((await compute(output)).resumedFrom, 0);
  await writeFile(`${output}.partial`, checkpoint);
  assert.equal((await compute(output, { chunks: 40 })).resumedFrom, 32);
});

test("what cannot work is said in one sentence before anything is written", async (t) => {
  const folder = await temporaryFolder(t);
  const output = join(folder, "imatrix.gguf");
  const short = join(folder, "short.txt");
  await writeFile(short, "one two three");
  const failures: [Partial<ImatrixOptions>, RegExp][] = [
    [{ text: short }, /short\.txt: has 4 tokens, but two chunks of 64 need 128\./],
    [{ text: join(folder, "none.txt") }, /none\.txt: cannot be read; check the path\./],
    [{ ctx: 8 }, /`ctx` is 8; it must be a whole number of at least 16\.$/],
    [{ chunks: 0 }, /`chunks` is 0; it must be a whole number of at least 1\.$/],
    [{ priorWeight: -1 }, /`priorWeight` is -1; it must be a number of at least 0\.$/],
    [{ merge: [model] }, /is not an importance matrix but a GGUF file/],
    [{ model: fixture("text/eval.txt") }, /is not a GGUF file/],
    [{ output: join(folder, "no", "x.gguf") }, /folder/],
  ];
  for (const [options, message] of failures) {
    await assert.rejects(compute(output, options), message);
  }
  assert.deepEqual(await readdir(folder), ["short.txt"]);
});
