import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { Engine } from "../engine/engine.js";
import { perplexity } from "../evaluate/measure.js";
import { imatrix as collect } from "../imatrix/compute.js";
import { readImatrixFile, writeImatrixFile } from "../imatrix/file.js";
import type { ImatrixEntry } from "../imatrix/imatrix.js";
import { openModel } from "../model/open.js";
import { rowCount } from "../model/source.js";
import { fixture } from "../testing/command.js";
import { writeGgufFile } from "../testing/gguf-file.js";
import { temporaryFolder } from "../testing/temporary.js";
import { prune } from "./prune.js";
import { quantize } from "./quantize.js";
import { verify } from "./verify.js";

const experts = 8;

/** One layer of 8 experts in 2 groups, and one that predicts further tokens. */
const file = (metadata = {}) =>
  ({
    metadata: {
      "general.architecture": "deepseek2",
      "general.name": "Eight",
      "deepseek2.block_count": 2,
      "deepseek2.nextn_predict_layers": 1,
      "deepseek2.expert_count": experts,
      "deepseek2.expert_used_count": 5,
      "deepseek2.expert_group_count": 2,
      "deepseek2.expert_group_used_count": 2,
      ...metadata,
    },
    tensors: [
      ...[0, 1].flatMap((layer) => [
        { name: `blk.${layer}.ffn_gate_inp.weight`, shape: [32, experts], type: "F32" as const },
        { name: `blk.${layer}.exp_probs_b.bias`, shape: [experts], type: "F32" as const },
        { name: `blk.${layer}.ffn_up_exps.weight`, shape: [32, 6, experts], type: "Q8_0" as const },
        { name: `blk.${layer}.ffn_down_exps.weight`, shape: [32, 5, experts], type: "F16" as const },
        { name: `blk.${layer}.ffn_norm.weight`, shape: [32], type: "F32" as const },
      ]),
      { name: "blk.1.nextn.eh_proj.weight", shape: [32, 4], type: "F16" as const },
    ],
  }) as const;

/** Sums whose squares, divided by the tokens 1 to 8, are 1, 8, 12, 0 and 4, 6, 14, 2. */
const outputs = Float32Array.of(1, 4, 6, 0, 20 ** 0.5, 6, 98 ** 0.5, 4);

async function written(t: Parameters<typeof temporaryFolder>[0], metadata = {}) {
  const folder = await temporaryFolder(t);
  const model = await writeGgufFile(join(folder, "model.gguf"), file(metadata));
  const entry = (columns: number, more = {}): ImatrixEntry => ({
    sums: Float32Array.from({ length: columns * experts }, (_, i) => i),
    counts: Float64Array.from({ length: experts }, (_, i) => i + 1),
    ...more,
  });
  const matrix = {
    name: "test",
    format: "gguf" as const,
    datasets: ["text"],
    chunkCount: 1,
    chunkSize: 512,
    priorWeight: undefined,
    entries: new Map([
      ["blk.0.ffn_up_exps.weight", entry(32)],
      ["blk.0.ffn_down_exps.weight", entry(32, { outputs })],
    ]),
  };
  const imatrix = join(folder, "imatrix.gguf");
  await writeImatrixFile(imatrix, matrix, "gguf");
  return { folder, model, imatrix, matrix, output: join(folder, "pruned.gguf") };
}

function filesIn<Names extends string[]>(folder: string, ...names: Names): { [Name in keyof Names]: string } {
  return names.map((name) => join(folder, name)) as { [Name in keyof Names]: string };
}

async function tensorsOf(path: string) {
  const source = await openModel(path);
  const rows = new Map<string, Uint8Array>();
  for (const { name, shape, readRows } of source.tensors) {
    rows.set(name, await readRows(0, rowCount(shape)));
  }
  await source.close();
  return { rows, metadata: source.metadata, tensors: source.tensors };
}

describe("prune", () => {
  it("keeps of each group the experts that add most, with their rows of router and biases", async (t) => {
    const { folder, model, imatrix, output } = await written(t);
    const imatrixOutput = join(folder, "pruned-imatrix.gguf");
    const warnings: string[] = [];
    const onWarning = (warning: string) => warnings.push(warning);
    const { layers } = await prune({ model, imatrix, output, imatrixOutput, experts: 4, onWarning });
    assert.deepEqual(layers[0]?.kept, [1, 2, 5, 6]);
    assert.ok(Math.abs((layers[0]?.lost ?? 0) - 7 / 47) < 1e-6);
    assert.equal(layers[1]?.kept.length, 4);
    assert.match(warnings.join(), /layers that predict further tokens \(1\)/);

    const [before, after] = [await tensorsOf(model), await tensorsOf(output)];
    for (const layer of layers) {
      for (const stem of [
        "ffn_gate_inp.weight",
        "exp_probs_b.bias",
        "ffn_up_exps.weight",
        "ffn_down_exps.weight",
      ]) {
        const name = `blk.${layer.layer}.${stem}`;
        const stored = before.rows.get(name)!;
        const part = stored.byteLength / experts;
        const expected = layer.kept.map((expert) => stored.subarray(expert * part, (expert + 1) * part));
        assert.deepEqual(Buffer.from(after.rows.get(name)!), Buffer.concat(expected), name);
        assert.equal(after.tensors.find((tensor) => tensor.name === name)?.shape.at(-1), 4, name);
      }
    }
    assert.deepEqual(after.rows.get("blk.0.ffn_norm.weight"), before.rows.get("blk.0.ffn_norm.weight"));
    const value = (key: string) => after.metadata.get(key)?.value;
    assert.equal(value("deepseek2.expert_count"), 4);
    assert.equal(value("deepseek2.expert_used_count"), 4);
    assert.equal(value("general.name"), "Eight (4 of 8 experts)");

    const { entries } = await readImatrixFile(imatrixOutput);
    const down = entries.get("blk.0.ffn_down_exps.weight")!;
    assert.deepEqual([...down.counts], [2, 3, 6, 7]);
    assert.deepEqual([...down.outputs!], [4, 6, 6, Math.fround(98 ** 0.5)]);
    assert.equal(down.sums[2 * 32], 5 * 32);
  });

  it("of a pruned model is checked against the first one, also after quantizing", async (t) => {
    const { folder, model, imatrix, output } = await written(t);
    await prune({ model, imatrix, output, experts: 6, imatrixOutput: join(folder, "six.gguf") });
    const twice = join(folder, "twice.gguf");
    await prune({ model: output, imatrix: join(folder, "six.gguf"), output: twice, experts: 4 });
    const quantized = join(folder, "quantized.gguf");
    await quantize({ model: twice, output: quantized, base: "Q8_0", allowRequantize: true });
    const { compared } = await verify({ model: quantized, source: model });
    assert.ok(compared!.every(({ relativeError }) => relativeError < 1e-3));
  });

  it("reads rows in any stretches", async (t) => {
    const { model, imatrix, output } = await written(t);
    await prune({ model, imatrix, output, experts: 4, threads: 0 });
    const whole = (await tensorsOf(output)).rows.get("blk.0.ffn_up_exps.weight")!;
    const again = join(output, "..", "again.gguf");
    await prune({ model, imatrix, output: again, experts: 4, splitMaxSize: 1e6 });
    assert.deepEqual(await readFile(again), await readFile(output));
    const source = await openModel(output);
    const tensor = source.tensors.find(({ name }) => name === "blk.0.ffn_up_exps.weight")!;
    assert.deepEqual(await tensor.readRows(5, 9), whole.subarray(5 * 34, 14 * 34));
    await source.close();
  });

  it("refuses what llama.cpp could not route, and an imatrix that does not tell experts apart", async (t) => {
    const { folder, model, imatrix, matrix, output } = await written(t);
    const plain = join(folder, "plain.gguf");
    const entries = new Map([...matrix.entries].map(([name, { outputs: _, ...entry }]) => [name, entry]));
    await writeImatrixFile(plain, { ...matrix, entries }, "gguf");
    for (const [options, message] of [
      [{ experts: 8 }, /has 8 experts in each layer; keep fewer/],
      [{ experts: 5 }, /chooses experts from 2 groups.* keep a multiple of 2 experts, at least 4, not 5/],
      [{ experts: 2 }, /keep a multiple of 2 experts, at least 4, not 2/],
      [
        { experts: 4, imatrix: plain },
        /experts of layer 0 adds; collect that with "lopsided imatrix --expert-outputs"/,
      ],
      [{ experts: 4, output: model }, /is read by this command/],
    ] as const) {
      await assert.rejects(prune({ model, imatrix, output, ...options }), { name: "UsageError", message });
    }
    await assert.rejects(readFile(output), { code: "ENOENT" });
    const narrow = await written(t, { "deepseek2.expert_group_used_count": 1 });
    await assert.rejects(
      prune({ model: narrow.model, imatrix, output, experts: 4 }),
      /a token takes 4 experts out of 1 of 2 groups/,
    );
  });
});

describe("a pruned model, run by llama.cpp", () => {
  const engine = new Engine();
  after(() => engine.close());

  const model = fixture("tiny-moe-q8_0.gguf");

  it("computes the same without experts that are never chosen", async (t) => {
    const folder = await temporaryFolder(t);
    const [text, imatrix, output] = filesIn(folder, "text.txt", "imatrix.gguf", "pruned.gguf");
    await writeFile(text, " the".repeat(64));
    const run = { text, ctx: 16, chunks: 1, threads: 1, engine };
    await collect({ ...run, model, output: imatrix, expertOutputs: true });
    const { layers } = await prune({ model, imatrix, output, experts: 10 });
    assert.ok(layers.every(({ lost }) => lost === 0));
    const { kld, routing } = await perplexity({ ...run, model: output, reference: model });
    assert.ok((kld?.max ?? 1) < 1e-6, String(kld?.max));
    assert.equal(routing, undefined);
  });

  it("loses much less without those that add least than without those that add most", async (t) => {
    const folder = await temporaryFolder(t);
    const [imatrix, least, most] = filesIn(folder, "imatrix.gguf", "least.gguf", "most.gguf");
    const run = { text: fixture("text/calibration.txt"), chunks: 1, threads: 1, engine };
    await collect({ ...run, model, output: imatrix, expertOutputs: true });
    await prune({ model, imatrix, output: least, experts: 14 });
    const matrix = await readImatrixFile(imatrix);
    const turned = [...matrix.entries].map(([name, entry]): [string, ImatrixEntry] => [
      name,
      { ...entry, outputs: entry.outputs?.map((value) => 1 / (1 + value)) },
    ]);
    await writeImatrixFile(imatrix, { ...matrix, entries: new Map(turned) }, "gguf");
    await prune({ model, imatrix, output: most, experts: 14 });
    const kldOf = async (pruned: string) =>
      (await perplexity({ ...run, model: pruned, reference: model })).kld?.mean ?? Number.NaN;
    const [small, large] = [await kldOf(least), await kldOf(most)];
    assert.ok(small > 0 && small < 0.3 * large, `${small} and ${large}`);
  });
});
