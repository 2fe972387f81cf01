import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { Engine } from "../engine/engine.js";
import { CancelledError, LopsidedError, MalformedInputError, UsageError } from "../errors.js";
import { imatrix } from "../imatrix/compute.js";
import type { ImatrixOptions } from "../imatrix/imatrix-command.js";
import { chooseMaxEffort } from "../imatrix/max-effort.js";
import { openModel } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import { MomentsFile } from "../moments/file.js";
import type { Progress } from "../progress.js";
import { quantize } from "../quantize/quantize.js";
import { ExpertMoments, type ExpertRows } from "../quants/output-aware/expert-moments.js";
import { channelScales, type KeptBits, keepRow, keptRowBytes } from "../quants/output-aware/kept-rows.js";
import { loadOutputAwareKernels } from "../quants/output-aware/load.js";
import { unpackSymmetric } from "../quants/output-aware/packed.js";
import { writeTinyModel } from "../testing/architectures/write.js";
import { fixture } from "../testing/command.js";
import { plainMetadata } from "../testing/gguf-file.js";
import { fill, gaussian } from "../testing/random.js";
import { temporaryFolder } from "../testing/temporary.js";
import { KeptFile } from "./file.js";
import { ModelActivations } from "./model-activations.js";

const model = fixture("tiny-moe-q8_0.gguf");
const text = fixture("text/calibration.txt");
const engine = new Engine();
after(() => engine.close());
const module = loadOutputAwareKernels().module;

function keep(folder: string, name: string, options: Partial<ImatrixOptions> = {}) {
  const [output, activations] = [join(folder, `${name}.gguf`), join(folder, `${name}.activations`)];
  const common = { model, text, ctx: 64, chunks: 40, parseSpecial: true, threads: 1, engine };
  return imatrix({ ...common, output, activations, ...options });
}

/** What is kept of random vectors, with up to two experts of three for each. */
function layerOf(vectors: Float32Array, columns: number, bits: KeptBits, gaussianWeights: () => number) {
  const tokens = vectors.length / columns;
  const channels = channelScales(vectors, columns);
  const codes = new Uint8Array(tokens * keptRowBytes(columns, bits));
  const scales = Float32Array.from({ length: tokens }, (_, token) =>
    keepRow(
      vectors.subarray(token * columns, (token + 1) * columns),
      channels,
      bits,
      codes,
      token * keptRowBytes(columns, bits),
    ),
  );
  const experts = Uint16Array.from({ length: 2 * tokens }, (_, at) =>
    at % 2 === 0 ? 0 : 1 + (at % 3 === 0 ? 1 : 0),
  );
  const weights = Float32Array.from({ length: 2 * tokens }, () => Math.abs(gaussianWeights()) + 0.1);
  const rows = { columns, bits, tokens, codes, scales, channels, slots: 2, experts, weights };
  return {
    rows: { ...rows, hidden: new Float32Array(3) },
    counts: [0, 1, 2].map((e) => experts.filter((x) => x === e).length),
  };
}

/** Size of the difference relative to the right matrix. */
function deviation(found: Float32Array, right: Float32Array): number {
  const columns = Math.sqrt(right.length);
  const upper = (values: Float32Array) => values.filter((_, i) => i % columns >= Math.floor(i / columns));
  const square = (values: Float32Array) => values.reduce((sum, value) => sum + value * value, 0);
  const [ours, theirs] = [upper(found), upper(right)];
  return Math.sqrt(square(ours.map((value, i) => value - theirs[i]!)) / square(theirs));
}

test("moments made of what is kept are those that matrices collect, of gate, up and down", async (t) => {
  const folder = await temporaryFolder(t);
  const moments = join(folder, "moments.gguf");
  const collect = { moments, momentsPerExpert: true, momentsOf: ["routed"] } as const;
  const { activations } = await keep(folder, "eight", collect);
  await keep(folder, "four", { activationBits: "4" });
  assert.deepEqual([activations?.layers, activations?.tokens, activations?.bits], [4, 40 * 64, 8]);
  const source = await openModel(model);
  const matrices = await MomentsFile.open(moments);
  for (const [name, most] of [
    ["eight", 0.01],
    ["four", 0.15],
  ] as const) {
    const kept = await ModelActivations.open([join(folder, `${name}.activations`)], source.tensors);
    const maker = new ExpertMoments(module);
    for (const [tensor, input, expert] of [
      ["blk.0.ffn_gate_exps.weight", "blk.0.ffn_exps.in", 3],
      ["blk.3.ffn_up_exps.weight", "blk.3.ffn_exps.in", 11],
      ["blk.2.ffn_down_exps.weight", "blk.2.ffn_down_exps", 5],
    ] as const) {
      const found = source.tensors.find((one) => one.name === tensor)!;
      const rows = (await kept.forEncoding(found)!.read(expert))!;
      assert.equal(rows.vectors, matrices.inputs.get(input)!.counts[expert]);
      const columns = found.shape[0]!;
      // With 8 tokens for each column nothing is mixed in; what the test wants to see is the expert's own.
      const own = maker.of({ ...rows, vectors: 8 * columns });
      const right = unpackSymmetric(await matrices.matrix(input, expert), columns);
      assert.ok(deviation(own, right) < most, `${name} ${tensor}: ${deviation(own, right)}`);
    }
    await kept.close();
  }
  await matrices.close();
  await source.close();
});

test("a run that is stopped between two savings, or runs in windows, ends with the same bytes", async (t) => {
  const folder = await temporaryFolder(t);
  await keep(folder, "whole");
  const whole = await readFile(join(folder, "whole.activations"));
  for (const layersPerWindow of [undefined, 1]) {
    const stop = new AbortController();
    // Saved are the chunks up to 32; the rows of more are there when the run is stopped.
    const stopping = keep(folder, "stopped", {
      chunks: 100,
      outputFrequency: 40,
      layersPerWindow,
      signal: stop.signal,
      onProgress: ({ step, done }) => step === "imatrix" && done >= 44 && stop.abort(),
    });
    await assert.rejects(stopping, CancelledError);
    assert.ok(existsSync(join(folder, "stopped.activations.partial")));
    const again = await keep(folder, "stopped", { chunks: 100, outputFrequency: 40, layersPerWindow });
    assert.ok(again.resumedFrom > 0);
    await keep(folder, "straight", { chunks: 100, layersPerWindow });
    const [stopped, straight] = await Promise.all(
      ["stopped", "straight"].map((name) => readFile(join(folder, `${name}.activations`))),
    );
    assert.ok(stopped!.equals(straight!));
  }
  await keep(folder, "windows", { layersPerWindow: 2 });
  assert.ok((await readFile(join(folder, "windows.activations"))).equals(whole));
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.includes("partial")),
    [],
  );
});

test("how far a run is, is saved between two windows however often it saves within them", async (t) => {
  const folder = await temporaryFolder(t);
  const options = { layersPerWindow: 1, outputFrequency: 1000 };
  const stop = new AbortController();
  // The last of four windows begins at 30 of 40 chunks.
  const onProgress = ({ step, done }: Progress) => step === "imatrix" && done >= 31 && stop.abort();
  await assert.rejects(
    keep(folder, "stopped", { ...options, signal: stop.signal, onProgress }),
    CancelledError,
  );
  const again = await keep(folder, "stopped", options);
  assert.ok(again.resumedFrom >= 30, `${again.resumedFrom}`);
  await keep(folder, "straight", options);
  const [stopped, straight] = await Promise.all(
    ["stopped", "straight"].map((name) => readFile(join(folder, `${name}.activations`))),
  );
  assert.ok(stopped!.equals(straight!));
});

test("products are the same to the bit without SIMD, with 8 bits and 4", () => {
  const columns = 16;
  const random = gaussian(4);
  for (const bits of [8, 4] as const) {
    const vectors = fill(150 * columns, random);
    const { rows, counts } = layerOf(vectors, columns, bits, random);
    const layer = { sha256: `${bits}`, columns, parts: [rows] };
    const matrix = (seed: number) => ({
      type: "F32" as const,
      bytes: new Uint8Array(fill(8 * columns, gaussian(seed)).buffer),
    });
    const weights = { sha256: "w", width: 8, gate: matrix(5), up: matrix(6), activation: "swiglu" as const };
    for (const part of [{}, { weights }]) {
      const request: ExpertRows = { name: "x", layer, expert: 1, vectors: counts[1]!, ...part };
      const hidden = { ...request, vectors: 1 };
      const [simd, plain] = [module, undefined].map((m) =>
        new ExpertMoments(m).of(part.weights ? hidden : request),
      );
      assert.deepEqual(simd, plain);
    }
  }
});

test("an expert with few tokens gets a column count of tokens' worth of all tokens' moments, scaled to its own", () => {
  const columns = 16;
  const random = gaussian(4);
  const { rows, counts } = layerOf(fill(40 * columns, random), columns, 8, random);
  const layer = { sha256: "x", columns, parts: [rows] };
  const maker = new ExpertMoments(module);
  const own = maker.of({ name: "x", layer, expert: 2, vectors: 8 * columns }).slice();
  const mixed = maker.of({ name: "x", layer, expert: 2, vectors: counts[2]! }).slice();
  for (let i = 0; i < columns; i++) {
    const wanted = own[i * columns + i]! * (1 + columns / counts[2]!);
    assert.ok(Math.abs(mixed[i * columns + i]! - wanted) < 1e-4 * wanted);
  }
  const unseen = maker.of({ name: "x", layer, expert: 7, vectors: 0 });
  assert.ok(unseen[0]! > 0 && mixed[1] !== own[1]);
});

test("several files count as one text, and other models' are refused", async (t) => {
  const folder = await temporaryFolder(t);
  const paths = ["a", "b"].map((name) => join(folder, `${name}.activations`));
  await keep(folder, "a", { chunks: 4 });
  await keep(folder, "b", { chunks: 3, activationBits: "4" });
  const source = await openModel(model);
  const both = await ModelActivations.open(paths, source.tensors);
  const up = source.tensors.find(({ name }) => name === "blk.1.ffn_up_exps.weight")!;
  let vectors = 0;
  for (let expert = 0; expert < up.shape[2]!; expert++) {
    vectors += (await both.forEncoding(up)!.read(expert))!.vectors;
  }
  await both.close();
  assert.equal(vectors % (7 * 64), 0);
  const others = source.tensors.map((tensor) => ({ ...tensor, shape: [128, ...tensor.shape.slice(1)] }));
  await assert.rejects(ModelActivations.open(paths, others), UsageError);
  await source.close();
});

test("effort max with nothing but a text chooses what to collect, says what it costs, and leaves nothing", async (t) => {
  const folder = await temporaryFolder(t);
  const [short, output] = [join(folder, "short.txt"), join(folder, "out.gguf")];
  await writeFile(short, (await readFile(text)).subarray(0, 6000));
  const notices: string[] = [];
  const result = await quantize({
    model,
    output,
    recipe: "asym-2bit-experts",
    effort: "max",
    calibration: short,
    allowRequantize: true,
    tensorType: ["blk\\.[123]\\..*=Q8_0", "token_embd=Q8_0"],
    engine,
    onNotice: (notice) => notices.push(notice),
  });
  assert.match(
    notices.join(),
    /^effort max keeps the inputs of 4 layers' experts at 8 bits .* collects moments of attention: up to .* on the disk/,
  );
  assert.ok(result.sha256);
  assert.deepEqual((await readdir(folder)).sort(), ["out.gguf", "short.txt"]);
});

test("what effort max costs a 30B model is said before it begins", () => {
  const layers = Array.from({ length: 48 }, (_, layer) => layer);
  const tensors = layers.flatMap((layer) =>
    Object.entries({
      "attn_q.weight": [2048, 4096],
      "ffn_gate_exps.weight": [2048, 768, 128],
      "ffn_up_exps.weight": [2048, 768, 128],
      "ffn_down_exps.weight": [768, 2048, 128],
    }).map(([name, shape]) => ({ name: `blk.${layer}.${name}`, shape, type: "BF16" as const })),
  );
  const metadata = plainMetadata({
    "general.architecture": "qwen3moe",
    "qwen3moe.block_count": 48,
    "qwen3moe.expert_count": 128,
    "qwen3moe.expert_used_count": 8,
    "qwen3moe.embedding_length": 2048,
  });
  const source = { tensors, metadata } as unknown as ModelSource;
  const chosen = (freeBytes: number, mustKeepBecause?: string) =>
    chooseMaxEffort(source, { tokens: 65_536, threads: 8, freeBytes, mustKeepBecause });
  assert.deepEqual([chosen(1e11).activationBits, chosen(5e9, "so").activationBits], ["8", "4"]);
  assert.deepEqual([chosen(1e11).keeps, chosen(5e9, "so").keeps], [true, true]);
  const { keeps, activationBits, diskBytes } = chosen(5e9);
  // The residual stream, and a layer's activations and matrix.
  assert.deepEqual([keeps, activationBits, Math.round(diskBytes / 1e7)], [false, "8", 122]);
  assert.equal(Math.round(chosen(1e11).diskBytes / 1e8), 70);
  assert.match(chosen(1e11).sentence, /65.54 k tokens, about 2\.0 per expert and dimension/);
  assert.ok(chosen(1e11).memoryBytes < 3e9);
});

for (const architecture of ["gpt-oss", "gemma4", "nemotron_h_moe"]) {
  test(`down's inputs are computed as llama.cpp does it: ${architecture}`, async (t) => {
    const folder = await temporaryFolder(t);
    const path = join(folder, "model.gguf");
    await writeTinyModel(engine, architecture, path);
    const moments = join(folder, "moments.gguf");
    const routed = { moments, momentsPerExpert: true, momentsOf: ["routed"] } as const;
    await keep(folder, "kept", { model: path, chunks: 8, ...routed });
    const source = await openModel(path);
    const kept = await ModelActivations.open([join(folder, "kept.activations")], source.tensors);
    assert.deepEqual(await kept.warnings(), []);
    const matrices = await MomentsFile.open(moments);
    const down = source.tensors.find(({ name }) => name.endsWith("ffn_down_exps.weight"))!;
    const input = down.name.replace(".weight", "");
    const { counts, columns } = matrices.inputs.get(input)!;
    const expert = counts.indexOf(Math.max(...counts));
    const rows = (await kept.forEncoding(down)!.read(expert))!;
    const right = unpackSymmetric(await matrices.matrix(input, expert), columns);
    assert.ok(deviation(new ExpertMoments(module).of(rows), right) < 0.02);
    await Promise.all([kept.close(), matrices.close(), source.close()]);
  });
}

test("quantizing with them is the same for any number of threads, and says what is wrong with a file", async (t) => {
  const folder = await temporaryFolder(t);
  await keep(folder, "kept", { chunks: 8 });
  const activations = join(folder, "kept.activations");
  const request = {
    model,
    recipe: "asym-2bit-experts",
    imatrix: join(folder, "kept.gguf"),
    allowRequantize: true,
    tensorType: ["blk\\.[123]\\..*=Q8_0", "token_embd=Q8_0"],
    effort: "max" as const,
  };
  const files = [];
  for (const threads of [1, 3]) {
    const output = join(folder, `${threads}.gguf`);
    await quantize({ ...request, activations, output, threads });
    files.push(await readFile(output));
  }
  assert.deepEqual(files[1], files[0]);
  const output = join(folder, "none.gguf");
  await assert.rejects(quantize({ ...request, effort: "default", activations, output }), UsageError);
  await assert.rejects(
    quantize({ ...request, activations: request.imatrix, output }),
    /is not a file of activations/,
  );

  const whole = await readFile(activations);
  const file = await KeptFile.open(activations);
  const { counts } = await file.load("blk.0.ffn_exps.in");
  await file.close();
  assert.equal(counts.reduce((sum, count) => sum + count, 0) % (8 * 64), 0);
  for (let length = 0; length < whole.length; length += Math.ceil(whole.length / 15)) {
    await writeFile(activations, whole);
    await truncate(activations, length);
    await assert.rejects(KeptFile.open(activations), MalformedInputError);
  }
  const flip = Buffer.from(whole);
  flip.fill(0xff, flip.length - 40_000);
  await writeFile(activations, flip);
  const damaged = await KeptFile.open(activations);
  await assert.rejects(damaged.load("blk.3.ffn_exps.in"), LopsidedError);
  await damaged.close();
});
