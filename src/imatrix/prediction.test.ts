import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine } from "../engine/engine.js";
import { tokenizeText } from "../engine/jobs.js";
import { openModel } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import { decodeRows } from "../quants/codec.js";
import { writeTinyModel } from "../testing/architectures/write.js";
import { temporaryFolder } from "../testing/temporary.js";
import { imatrix } from "./compute.js";
import { readImatrixFile } from "./file.js";

const text = fileURLToPath(new URL("../../fixtures/text/calibration.txt", import.meta.url));
const [context, chunks] = [64, 3];
const run = { text, ctx: context, chunks, threads: 1 };

async function rowsOf(source: ModelSource, name: string): Promise<Float32Array[]> {
  const tensor = source.tensors.find((one) => one.name === name);
  assert.ok(tensor, name);
  const [columns = 1, rows = 1] = tensor.shape;
  const values = new Float32Array(columns * rows);
  decodeRows(tensor.type, await tensor.readRows(0, rows), values);
  return Array.from({ length: rows }, (_, row) => values.subarray(row * columns, (row + 1) * columns));
}

describe("the importance of layers that predict further tokens", () => {
  const engine = new Engine();
  after(() => engine.close());

  it("is that of each token's embedding beside the vector that left the model at the token before", async (t) => {
    const folder = await temporaryFolder(t);
    const [model, output] = [join(folder, "model.gguf"), join(folder, "imatrix.gguf")];
    await writeTinyModel(engine, "qwen35moe-mtp", model);
    await imatrix({ model, output, engine, ...run });
    const { entries } = await readImatrixFile(output);
    const entry = entries.get("blk.4.nextn.eh_proj.weight");
    assert.ok(entry);
    assert.deepEqual([...entry.counts], [context * chunks]);

    const source = await openModel(model);
    const embeddings = await rowsOf(source, "token_embd.weight");
    const [enorm] = await rowsOf(source, "blk.4.nextn.enorm.weight");
    const [hnorm] = await rowsOf(source, "blk.4.nextn.hnorm.weight");
    await source.close();
    assert.ok(enorm && hnorm);
    const tokens = await engine.run(tokenizeText, { model: { path: model }, text: await readFile(text) });
    const width = enorm.length;
    const expected = new Float64Array(width);
    for (const token of tokens.slice(0, context * chunks)) {
      const vector = embeddings[token] ?? new Float32Array(width);
      const mean = vector.reduce((sum, value) => sum + value * value, 0) / width;
      vector.forEach((value, i) => {
        expected[i] = (expected[i] ?? 0) + (value * (enorm[i] ?? 0)) ** 2 / (mean + 1e-6);
      });
    }
    for (const [i, sum] of expected.entries()) {
      assert.ok(Math.abs((entry.sums[i] ?? 0) / sum - 1) < 1e-3, `${i}: ${entry.sums[i]} and ${sum}`);
    }
    // Vectors are of length 1 per column before the norm's weights; the first token of a chunk has none before it.
    const energy = hnorm.reduce((sum, weight, i) => sum + (entry.sums[width + i] ?? 0) / weight ** 2, 0);
    assert.ok(Math.abs(energy / (width * (context - 1) * chunks) - 1) < 1e-3, String(energy));
  });

  it("is the same, to the bit, when the layers before are run in windows", async (t) => {
    const folder = await temporaryFolder(t);
    const model = join(folder, "model.gguf");
    await writeTinyModel(engine, "deepseek2-mtp", model);
    const [whole, windows] = [join(folder, "whole.gguf"), join(folder, "windows.gguf")];
    await imatrix({ model, output: whole, engine, ...run });
    await imatrix({ model, output: windows, engine, layersPerWindow: 1, ...run });
    const [a, b] = [await readImatrixFile(whole), await readImatrixFile(windows)];
    assert.ok(a.entries.has("blk.3.ffn_down_exps.weight"));
    assert.ok(a.entries.has("blk.3.nextn.shared_head_head.weight"));
    assert.deepEqual(b.entries, a.entries);
  });

  it("is not collected if it is not wanted, and other figures do not change", async (t) => {
    const folder = await temporaryFolder(t);
    const model = join(folder, "model.gguf");
    await writeTinyModel(engine, "deepseek2-mtp", model);
    const [all, trunk] = [join(folder, "all.gguf"), join(folder, "trunk.gguf")];
    await imatrix({ model, output: all, engine, ...run });
    await imatrix({ model, output: trunk, engine, mtp: false, ...run });
    const [a, b] = [await readImatrixFile(all), await readImatrixFile(trunk)];
    assert.deepEqual(new Map([...a.entries].filter(([name]) => !name.startsWith("blk.3."))), b.entries);
  });
});
