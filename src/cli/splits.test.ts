import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { loadLibrary } from "../engine/library.js";
import { Model } from "../engine/model.js";
import { openGguf } from "../model/gguf-model.js";
import { rowCount } from "../model/source.js";
import type { QuantizeResult } from "../quantize/quantize.js";
import { fixture, lopsided } from "../testing/command.js";
// Loads llama.cpp's library in this process, beside the engine's.
import "../testing/ggml.js";
import { temporaryFolder } from "../testing/temporary.js";

const tiny = fixture("tiny-moe-q8_0.gguf");

async function quantizeJson(args: readonly string[]): Promise<QuantizeResult> {
  const outcome = await lopsided(["quantize", ...args, "--json"]);
  assert.equal(outcome.status, 0, outcome.stderr);
  return JSON.parse(outcome.stdout) as QuantizeResult;
}

/** All tensors' bytes by name, and which file each is in. */
async function contents(t: TestContext, path: string) {
  const model = await openGguf(path);
  t.after(() => model.close());
  const tensors = new Map<string, { file: number | undefined; bytes: Buffer }>();
  for (const tensor of model.tensors) {
    const bytes = Buffer.from(await tensor.readRows(0, rowCount(tensor.shape)));
    tensors.set(tensor.name, { file: tensor.file, bytes });
  }
  return { metadata: model.metadata, tensors };
}

describe("a model in several files", () => {
  it("has the tensors of the single file, and llama.cpp loads it", async (t) => {
    const folder = await temporaryFolder(t);
    const args = ["--recipe", "Q8_0", "--allow-requantize"];
    const single = await quantizeJson([tiny, join(folder, "one.gguf"), ...args]);
    const set = await quantizeJson([tiny, join(folder, "set.gguf"), ...args, "--split-max-size", "4M"]);
    const names = [1, 2, 3, 4, 5].map((number) => `set-0000${number}-of-00005.gguf`);
    assert.deepEqual((await readdir(folder)).sort(), ["one.gguf", ...names]);
    assert.equal(set.output, join(folder, "set-00001-of-00005.gguf"));
    assert.equal(set.files?.length, 5);
    assert.equal(set.sha256, undefined);
    assert.equal(set.tensorBytes, single.tensorBytes);

    const one = await contents(t, single.output);
    const several = await contents(t, set.output);
    assert.deepEqual(several.metadata, one.metadata);
    assert.deepEqual([...several.tensors.keys()], [...one.tensors.keys()]);
    const sizes = new Map<number | undefined, number>();
    for (const [name, { file, bytes }] of several.tensors) {
      assert.ok(bytes.equals(one.tensors.get(name)!.bytes), name);
      sizes.set(file, (sizes.get(file) ?? 0) + bytes.byteLength);
    }
    for (const size of sizes.values()) {
      assert.ok(size <= 4_000_000);
    }

    const model = Model.load(loadLibrary(), { path: set.output });
    assert.equal(model.facts.parameters, 14437120);
    assert.equal(model.facts.weightsBytes, 15395840);
  });

  it("keeps its division, and is a source like any other", async (t) => {
    const folder = await temporaryFolder(t);
    const copy = ["--base", "COPY"];
    const set = await quantizeJson([tiny, join(folder, "a.gguf"), ...copy, "--split-max-size", "6M"]);
    const args = ["--recipe", "Q4_K_M", "--allow-requantize"];
    const kept = await quantizeJson([set.output, join(folder, "b.gguf"), ...args, "--keep-split"]);
    const joined = await quantizeJson([set.output, join(folder, "c.gguf"), ...args]);
    assert.equal(kept.files?.length, 3);
    const before = await contents(t, set.output);
    const after = await contents(t, kept.output);
    for (const [name, { file }] of before.tensors) {
      assert.equal(after.tensors.get(name)?.file, file, name);
    }
    const together = await contents(t, joined.output);
    assert.deepEqual([...together.tensors.keys()], [...before.tensors.keys()]);
    assert.equal(Model.load(loadLibrary(), { path: kept.output }).facts.parameters, 14437120);
  });

  it("is one plain file if there is nothing to divide", async (t) => {
    const folder = await temporaryFolder(t);
    const args = ["--base", "COPY", "--split-max-size", "1G"];
    const { output, sha256 } = await quantizeJson([tiny, join(folder, "a.gguf"), ...args]);
    assert.equal(output, join(folder, "a.gguf"));
    assert.match(sha256 ?? "", /^[0-9a-f]{64}$/);
    await quantizeJson([tiny, join(folder, "b.gguf"), "--base", "COPY", "--keep-split"]);
    assert.deepEqual((await readdir(folder)).sort(), ["a.gguf", "b.gguf"]);
  });

  it("is refused if it is asked for in ways that make no sense", async (t) => {
    const folder = await temporaryFolder(t);
    const output = join(folder, "out.gguf");
    for (const [args, message] of [
      [["--split-max-size", "4"], /--split-max-size is "4"; it must be at least 1M\./],
      [["--split-max-size", "0G"], /--split-max-size: a size of 0G is not possible/],
      [["--split-max-size", "4G", "--keep-split"], /--keep-split and --split-max-size contradict each other/],
    ] as const) {
      const outcome = await lopsided(["quantize", tiny, output, "--base", "COPY", ...args]);
      assert.match(outcome.stderr, message);
      assert.equal(outcome.status, 2);
    }
    assert.deepEqual(await readdir(folder), []);
  });

  it("comes from a Hugging Face folder too", async (t) => {
    const folder = await temporaryFolder(t);
    const args = [fixture("tiny-moe"), join(folder, "x"), "--type", "q8_0", "--split-max-size", "8M"];
    const outcome = await lopsided(["convert", ...args, "--json"]);
    assert.equal(outcome.status, 0, outcome.stderr);
    const { output, files } = JSON.parse(outcome.stdout);
    assert.equal(files.length, 3);
    assert.equal(Model.load(loadLibrary(), { path: output }).facts.parameters, 14437120);
    const kept = await lopsided([
      "quantize",
      fixture("tiny-moe"),
      join(folder, "y.gguf"),
      ...["--recipe", "Q8_0", "--keep-split"],
    ]);
    assert.match(kept.stderr, /--keep-split: .* does not lie in one file .*; use --split-max-size instead/);
  });
});
