import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { Engine } from "../engine/engine.js";
import { MalformedInputError, UsageError } from "../errors.js";
import { imatrix } from "../imatrix/compute.js";
import { readImatrixFile } from "../imatrix/file.js";
import { openModel } from "../model/open.js";
import type { SourceTensor } from "../model/source.js";
import { packedLength, packedRow } from "../quants/output-aware/packed.js";
import { writeTinyModel } from "../testing/architectures/write.js";
import { fixture } from "../testing/command.js";
import { fill, gaussian } from "../testing/random.js";
import { temporaryFolder } from "../testing/temporary.js";
import { momentsCoverage, momentsWarning } from "./coverage.js";
import { MomentsFile, writeMomentsFile } from "./file.js";
import { Gram } from "./gram.js";
import { inputOf } from "./inputs.js";
import { mergeMomentsFiles } from "./merge.js";
import { ModelMoments } from "./model-moments.js";
import { cutIntoPasses, planInputs } from "./plan.js";

const model = fixture("tiny-moe-q8_0.gguf");
const text = fixture("text/calibration.txt");
const engine = new Engine();
after(() => engine.close());

const facts = { datasets: ["text.txt"], chunkCount: 1, chunkSize: 64 };

function oneInput(sums: Float32Array, columns: number, counts = [5]) {
  return [{ name: "blk.0.ffn_exps.in", columns, counts: Float64Array.from(counts), matrix: () => sums }];
}

test("products are summed the same in SIMD and without, and right", () => {
  const columns = 24;
  const vectors = fill(10 * columns, gaussian(1));
  const results = [true, false].map((simd) => {
    const gram = new Gram(simd);
    const sums = new Float32Array(packedLength(columns));
    gram.begin(columns, 10);
    for (let i = 0; i < 10; i++) {
      gram.add(vectors, i * columns, 0.5);
    }
    gram.addTo(sums);
    return sums;
  });
  assert.deepEqual(results[0], results[1]);
  for (let i = 0; i < columns; i++) {
    for (let j = i; j < columns; j++) {
      let sum = 0;
      for (let t = 0; t < 10; t++) {
        sum += 0.25 * vectors[t * columns + i]! * vectors[t * columns + j]!;
      }
      assert.ok(Math.abs(results[0]![packedRow(columns, i) + j - i]! - sum) < 1e-5);
    }
  }
});

test("gate and up share their input, and so do query, key and value", () => {
  const name = (weight: string) => inputOf(weight)?.name;
  assert.equal(name("blk.3.ffn_gate_exps.weight"), name("blk.3.ffn_up_exps.weight"));
  assert.equal(name("blk.3.ffn_gate_up_exps.weight"), name("blk.3.ffn_up_exps.weight"));
  assert.notEqual(name("blk.3.ffn_up_shexp.weight"), name("blk.3.ffn_up_exps.weight"));
  assert.notEqual(name("blk.3.ffn_up.weight"), name("blk.3.ffn_up_exps.weight"));
  assert.notEqual(name("blk.3.ffn_down_exps.weight"), name("blk.3.ffn_up_exps.weight"));
  assert.equal(name("blk.3.attn_q.weight"), name("blk.3.attn_v.weight"));
  assert.notEqual(name("blk.3.attn_output.weight"), name("blk.3.attn_v.weight"));
  assert.equal(name("blk.3.attn_norm.weight"), undefined);
  assert.equal(name("token_embd.weight"), undefined);
});

test("passes hold as many inputs as fit, and every one is in one of them", () => {
  const weights = Array.from({ length: 6 }, (_, layer) => [
    { name: `blk.${layer}.ffn_gate_exps.weight`, shape: [64, 32, 4] },
    { name: `blk.${layer}.ffn_down_exps.weight`, shape: [32, 64, 4] },
  ]).flat();
  const inputs = planInputs(weights, {});
  assert.equal(inputs.length, 12);
  assert.deepEqual(
    inputs.slice(0, 2).map(({ matrices, byteLength }) => [matrices, byteLength]),
    [
      [1, 4 * packedLength(64)],
      [4, 16 * packedLength(32)],
    ],
  );
  const passes = cutIntoPasses(inputs, 2.5 * (4 * packedLength(64) + 16 * packedLength(32)));
  assert.deepEqual(passes.flat(), inputs);
  assert.equal(passes.length, 3);
  assert.equal(cutIntoPasses(inputs, 1).length, 12);
  assert.deepEqual(
    planInputs(weights, { perExpert: true }).map(({ matrices }) => matrices),
    Array(12).fill(4),
  );
});

test("collected moments agree with the importance matrix of the same run, in one pass or several", async (t) => {
  const folder = await temporaryFolder(t);
  const run = async (name: string, maxMemory?: number) => {
    const output = join(folder, `${name}.gguf`);
    const moments = join(folder, `${name}.moments.gguf`);
    const momentsOf = ["routed", "attention"] as const;
    const options = { model, text, ctx: 64, chunks: 8, parseSpecial: true, engine, maxMemory };
    const result = await imatrix({ ...options, output, moments, momentsOf });
    return { ...result, imatrix: await readImatrixFile(output), path: moments };
  };
  const whole = await run("whole");
  const several = await run("several", 6e6);
  assert.equal(whole.moments?.passes, 1);
  assert.ok((several.moments?.passes ?? 0) > 1);
  assert.deepEqual(await readFile(several.path), await readFile(whole.path));
  assert.equal(existsSync(`${several.path}.pass-0`), false);

  const file = await MomentsFile.open(whole.path);
  try {
    const sums = await file.matrix("blk.1.attn.in", 0);
    const squares = whole.imatrix.entries.get("blk.1.attn_q.weight")!.sums;
    for (const [i, square] of squares.entries()) {
      assert.ok(Math.abs(sums[packedRow(256, i)]! - square) <= 1e-4 * square);
    }
    const routed = whole.imatrix.entries.get("blk.2.ffn_down_exps.weight")!;
    assert.deepEqual(file.inputs.get("blk.2.ffn_down_exps")?.counts, routed.counts);
    assert.deepEqual([...(file.inputs.get("blk.2.ffn_exps.in")?.counts ?? [])], [8 * 64]);
    // A router's weights are below 1, and so their squares bring the sums down.
    const down = await file.matrix("blk.2.ffn_down_exps", 0);
    for (let i = 0; i < 256; i++) {
      assert.ok(down[packedRow(256, i)]! < routed.sums[i]!);
    }
  } finally {
    await file.close();
  }
});

test("moments are the same bytes for any number of threads", async (t) => {
  const folder = await temporaryFolder(t);
  const files: Buffer[] = [];
  for (const threads of [1, 2, 5]) {
    const output = join(folder, `${threads}.gguf`);
    const moments = join(folder, `${threads}.moments.gguf`);
    const common = { model, text, ctx: 64, chunks: 4, engine, threads, output };
    await imatrix({ ...common, moments, momentsPerExpert: true });
    files.push(await readFile(moments));
  }
  assert.deepEqual(files[1], files[0]);
  assert.deepEqual(files[2], files[0]);
});

test("says how many tokens per dimension the thinnest matrix has, and warns if they are few", () => {
  const inputs = new Map([
    ["blk.0.ffn_exps.in", { columns: 256, counts: Float64Array.of(4096) }],
    ["blk.0.ffn_down_exps", { columns: 128, counts: Float64Array.of(2000, 192, 0) }],
  ]);
  const coverage = momentsCoverage({ inputs });
  assert.deepEqual(
    [coverage.matrices, coverage.unseen, coverage.thinnest, coverage.tokensPerDimension],
    [4, 1, "blk.0.ffn_down_exps", 1.5],
  );
  assert.match(
    momentsWarning(coverage) ?? "",
    /1 of 4 matrices saw no token; the thinnest, in blk\.0\.ffn_down_exps, saw 192 tokens, 1\.5 per dimension/,
  );
  inputs.set("blk.0.ffn_down_exps", { columns: 128, counts: Float64Array.of(2000, 256, 300) });
  assert.equal(momentsWarning(momentsCoverage({ inputs })), undefined);
});

test("few tokens' moments of an expert's gate and up are mixed with those of all experts, down's are not", async (t) => {
  const path = join(await temporaryFolder(t), "x.gguf");
  const experts = [Float32Array.of(16, 4, 16), Float32Array.of(4, -2, 8), new Float32Array(3)];
  const inputs = ["blk.0.ffn_exps.in", "blk.0.ffn_down_exps"].map((name) => ({
    name,
    columns: 2,
    counts: Float64Array.of(16, 4, 0),
    matrix: (i: number) => experts[i]!,
  }));
  await writeMomentsFile(path, facts, inputs);
  const tensors = ["gate", "down"].map((part): SourceTensor => {
    const readRows = async () => new Uint8Array();
    return { name: `blk.0.ffn_${part}_exps.weight`, shape: [2, 2, 3], type: "F32", readRows };
  });
  const moments = await ModelMoments.open(path, tensors);
  const read = async (tensor: SourceTensor) => {
    const found = [];
    for (const expert of experts.keys()) {
      const one = await moments.forEncoding(tensor)?.read(expert);
      found.push(one && "sums" in one ? [...one.sums.values] : undefined);
    }
    return found;
  };
  const [gate, down] = [await read(tensors[0]!), await read(tensors[1]!)];
  await moments.close();
  assert.deepEqual(gate[0], [16, 4, 16], "8 tokens per column stand on their own");
  // Two tokens' worth of the average (1, 0.1, 1.2), scaled to the mean squares (1, 2).
  assert.deepEqual(gate[1], [6, Math.fround(-2 + 0.2 * Math.sqrt(2 / 1.2)), 12]);
  assert.deepEqual(gate[2], [20, 2, 24], "unseen: those of all");
  assert.deepEqual(down, [[16, 4, 16], [4, -2, 8], undefined]);
});

test("merging adds sums and counts", async (t) => {
  const folder = await temporaryFolder(t);
  const [a, b, both] = ["a", "b", "both"].map((name) => join(folder, name)) as [string, string, string];
  await writeMomentsFile(a, facts, oneInput(Float32Array.of(1, 2, 3), 2, [5]));
  await writeMomentsFile(b, { ...facts, datasets: ["other"] }, oneInput(Float32Array.of(10, 20, 30), 2, [7]));
  await mergeMomentsFiles([a, b], both);
  const file = await MomentsFile.open(both);
  assert.deepEqual(await file.matrix("blk.0.ffn_exps.in", 0), Float32Array.of(11, 22, 33));
  assert.deepEqual(file.inputs.get("blk.0.ffn_exps.in"), { columns: 2, counts: Float64Array.of(12) });
  assert.deepEqual([file.datasets, file.chunkCount], [["text.txt", "other"], 2]);
  await file.close();
  await writeMomentsFile(b, facts, oneInput(new Float32Array(6), 3));
  await assert.rejects(mergeMomentsFiles([a, b], both), UsageError);
});

test("a damaged file is refused with a sentence that names it", async (t) => {
  const path = join(await temporaryFolder(t), "x.moments.gguf");
  const refused = async (sums: Float32Array, pattern: RegExp) => {
    await writeMomentsFile(path, facts, oneInput(sums, 2));
    const read = async () => {
      const file = await MomentsFile.open(path);
      try {
        await file.matrix("blk.0.ffn_exps.in", 0);
      } finally {
        await file.close();
      }
    };
    await assert.rejects(
      read,
      (error: Error) => error instanceof MalformedInputError && pattern.test(error.message),
    );
  };
  await refused(
    Float32Array.of(1, Number.NaN, 3),
    /matrix 0 of "blk\.0\.ffn_exps\.in" has values that are not finite/,
  );
  await refused(Float32Array.of(1, 0, -3), /negative sums of squares/);
  await writeMomentsFile(path, facts, oneInput(new Float32Array(3), 2));
  const whole = await readFile(path);
  for (let length = 0; length < whole.length - 32; length += 7) {
    await writeFile(path, whole);
    await truncate(path, length);
    await assert.rejects(MomentsFile.open(path), MalformedInputError);
  }
  await assert.rejects(MomentsFile.open(fixture("reference/imatrix.gguf")), /is not a moments file/);
});

test("of latent attention, linear attention and layers that predict further tokens, too, the diagonal is the importance", async (t) => {
  const folder = await temporaryFolder(t);
  const [path, output, moments] = ["model", "imatrix", "moments"].map((name) =>
    join(folder, `${name}.gguf`),
  ) as [string, string, string];
  await writeTinyModel(engine, "bailingmoe3-mtp", path);
  const momentsOf = ["attention", "ssm", "nextn"] as const;
  await imatrix({ model: path, text, ctx: 64, chunks: 2, engine, output, moments, momentsOf });
  const [{ entries }, source] = [await readImatrixFile(output), await openModel(path)];
  const file = await MomentsFile.open(moments);
  const inputs = planInputs(source.tensors, { kinds: momentsOf });
  for (const stem of ["attn_k_b", "ssm_f_a", "nextn.eh_proj"]) {
    assert.ok(
      inputs.some(({ weight }) => weight.endsWith(`${stem}.weight`)),
      stem,
    );
  }
  for (const { name, weight, columns, matrices } of inputs) {
    const sums = entries.get(weight)?.sums;
    assert.ok(sums, weight);
    for (let index = 0; index < matrices; index++) {
      const matrix = await file.matrix(name, index);
      for (let i = 0; i < columns; i++) {
        const [found = 0, expected = 0] = [matrix[packedRow(columns, i)], sums[index * columns + i]];
        assert.ok(
          Math.abs(found - expected) <= 1e-4 * expected,
          `${weight} ${index} ${i}: ${found}, ${expected}`,
        );
      }
    }
  }
  await file.close();
  await source.close();
});
