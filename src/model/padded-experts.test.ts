import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Engine } from "../engine/engine.js";
import { computeLogits } from "../engine/jobs.js";
import { paddedImatrix } from "../imatrix/padded.js";
import { quantize } from "../quantize/quantize.js";
import { verify } from "../quantize/verify.js";
import { writeTinyModel } from "../testing/architectures/write.js";
import { writeGgufFile } from "../testing/gguf-file.js";
import { temporaryFolder } from "../testing/temporary.js";
import { openModel } from "./open.js";
import { withPaddedExperts } from "./padded-experts.js";

/** Two experts of width 32: a fused gate and up, and down. */
const model = {
  metadata: {
    "general.architecture": "gemma4",
    "gemma4.block_count": 1,
    "gemma4.expert_count": 2,
    "gemma4.expert_feed_forward_length": 32,
  },
  tensors: [
    { name: "blk.0.ffn_gate_up_exps.weight", shape: [64, 64, 2], type: "F16" },
    { name: "blk.0.ffn_down_exps.weight", shape: [32, 64, 2], type: "Q8_0" },
    { name: "blk.0.ffn_down.weight", shape: [96, 64], type: "F16" },
  ],
} as const;

describe("models with padded experts", () => {
  it("have zeros behind each half of a fused gate and up and behind the rows of down, however rows are cut", async (t) => {
    const path = await writeGgufFile(join(await temporaryFolder(t), "m.gguf"), model);
    const source = await openModel(path);
    t.after(() => source.close());
    const padded = withPaddedExperts(source);
    assert.equal(padded.metadata.get("gemma4.expert_feed_forward_length")?.value, 256);
    const [gateUp, down, dense] = padded.tensors;
    assert.deepEqual(
      [gateUp!.shape, down!.shape],
      [
        [64, 512, 2],
        [256, 64, 2],
      ],
    );
    assert.equal(dense, source.tensors[2]);

    const rows = await gateUp!.readRows(0, 1024);
    const stored = await source.tensors[0]!.readRows(0, 128);
    const expected = new Uint8Array(rows.length);
    for (let part = 0; part < 4; part++) {
      expected.set(stored.subarray(part * 32 * 128, (part + 1) * 32 * 128), part * 256 * 128);
    }
    assert.deepEqual(rows, expected);
    for (const [first, count] of [
      [0, 1],
      [20, 300],
      [31, 2],
      [250, 10],
      [600, 424],
      [1023, 1],
    ] as const) {
      assert.deepEqual(
        await gateUp!.readRows(first, count),
        expected.subarray(first * 128, (first + count) * 128),
      );
    }
    const wide = await down!.readRows(5, 2);
    const narrow = await source.tensors[1]!.readRows(5, 2);
    assert.deepEqual(wide.subarray(0, 34), narrow.subarray(0, 34));
    assert.deepEqual(wide.subarray(272, 272 + 34), narrow.subarray(34));
    assert.ok(wide.subarray(34, 272).every((byte) => byte === 0));
  });

  it("take an importance matrix of the model itself, with zeros for the columns that are new", async (t) => {
    const path = await writeGgufFile(join(await temporaryFolder(t), "m.gguf"), model);
    const source = await openModel(path);
    t.after(() => source.close());
    const sums = Float32Array.from({ length: 64 }, (_, i) => i + 1);
    const imatrix = {
      name: "test",
      format: "gguf",
      entries: new Map([["blk.0.ffn_down_exps.weight", { sums, counts: Float64Array.of(3, 4) }]]),
      datasets: [],
      chunkCount: 1,
      chunkSize: 1,
      priorWeight: undefined,
    } as const;
    const { entries } = paddedImatrix(imatrix, source.tensors, withPaddedExperts(source).tensors);
    const padded = entries.get("blk.0.ffn_down_exps.weight")!.sums;
    assert.equal(padded.length, 512);
    assert.deepEqual(padded.subarray(0, 32), sums.subarray(0, 32));
    assert.deepEqual(padded.subarray(256, 288), sums.subarray(32));
    assert.equal(
      padded.reduce((total, sum) => total + sum),
      65 * 32,
    );
  });

  it("of an architecture that was not compared with llama.cpp are refused", async (t) => {
    const metadata = { "general.architecture": "mamba", "mamba.block_count": 1 };
    const path = await writeGgufFile(join(await temporaryFolder(t), "m.gguf"), { metadata });
    const source = await openModel(path);
    t.after(() => source.close());
    assert.throws(() => withPaddedExperts(source), {
      name: "UsageError",
      message: /^.*m\.gguf: experts of the architecture mamba cannot be padded; leave out `padExperts`/,
    });
  });

  for (const name of ["gemma4-odd", "glm-air-odd"]) {
    it(`are loaded by llama.cpp, compute the same, and get types of superblocks: ${name}`, async (t) => {
      const folder = await temporaryFolder(t);
      const engine = new Engine();
      t.after(() => engine.close());
      const path = join(folder, "model.gguf");
      await writeTinyModel(engine, name, path);
      const tokens = [1, 2, 3, 4, 5];
      const logitsOf = (model: string, more = {}) =>
        engine.run(computeLogits, { model: { path: model }, tokens, threads: 1, ...more });
      const between = (some: Float32Array, others: Float32Array) =>
        Math.max(...some.map((logit, i) => Math.abs(logit - others[i]!)));

      const exact = join(folder, "padded.gguf");
      await quantize({ model: path, output: exact, base: "COPY", padExperts: true, threads: 0 });
      const [before, after] = [await logitsOf(path), await logitsOf(exact)];
      // The last bits of products differ, as they do between tokens computed together and one by one.
      const floor = between(before, await logitsOf(path, { microBatchSize: 1 }));
      const difference = between(before, after);
      assert.ok(difference <= Math.max(1e-3, 1.5 * floor), `logits differ by ${difference}, floor ${floor}`);

      const small = join(folder, "small.gguf");
      const { tensors } = await quantize({
        model: path,
        output: small,
        base: "Q4_K",
        padExperts: true,
        threads: 0,
      });
      const down = tensors.filter(({ name }) => name.endsWith("ffn_down_exps.weight"));
      assert.ok(down.length > 0 && down.every(({ to }) => to.endsWith("_K")));
      assert.ok((await logitsOf(small)).every(Number.isFinite));
      await verify({ model: small, source: path, threads: 0 });
    });
  }
});
