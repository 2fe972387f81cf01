/**
 * Packed weights against decoders written out here from the formats' descriptions, one weight at a time. FP8, MXFP4
 * and INT4 are also compared with llama.cpp's converter, in `converted.test.ts`.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type JsonObject, parseJson } from "../../../bytes/json.js";
import { decodeRows } from "../../../quants/codec.js";
import { openSafetensorsFolder } from "../../../safetensors/folder.js";
import { MemoryFolder } from "../../../testing/memory-folder.js";
import { uniform } from "../../../testing/random.js";
import { safetensorsBytes, type TestSafetensor } from "../../../testing/safetensors-file.js";
import { Fields } from "../fields.js";
import { RecentMatrices } from "../transformations/transpose.js";
import { readQuantization } from "./quantization.js";
import type { StoredTensor } from "./stored-tensor.js";
import { storedTensors } from "./stored-tensors.js";

type Tensors = Readonly<Record<string, TestSafetensor>>;

async function read(tensors: Tensors, quantization: object = {}): Promise<readonly StoredTensor[]> {
  const folder = new MemoryFolder("m", { "model.safetensors": safetensorsBytes(tensors) });
  const files = await openSafetensorsFolder(folder);
  const config = parseJson(JSON.stringify({ quantization_config: quantization }), "c") as JsonObject;
  return storedTensors(files.tensors, readQuantization(new Fields("c", config)), new RecentMatrices());
}

/** The only tensor's weights, read in one go and row by row. */
async function weights(tensors: Tensors, quantization: object = {}): Promise<number[]> {
  const [tensor, ...others] = await read(tensors, quantization);
  assert.ok(tensor);
  assert.deepEqual(others, []);
  const whole = new Float32Array(tensor.rows * tensor.columns);
  decodeRows(tensor.type, await tensor.read(0, tensor.rows), whole);
  for (let row = 0; row < tensor.rows; row++) {
    const single: Float32Array = new Float32Array(tensor.columns);
    decodeRows(tensor.type, await tensor.read(row, 1), single);
    assert.deepEqual(single, whole.subarray(row * tensor.columns, (row + 1) * tensor.columns));
  }
  return [...whole];
}

const f32 = (shape: readonly number[], values: readonly number[]): TestSafetensor => ({
  dtype: "F32",
  shape,
  data: new Uint8Array(Float32Array.from(values).buffer),
});
const i32 = (shape: readonly number[], values: readonly number[]): TestSafetensor => ({
  dtype: "I32",
  shape,
  data: new Uint8Array(Int32Array.from(values).buffer),
});
const bytes = (dtype: string, shape: readonly number[], values: readonly number[]): TestSafetensor => ({
  dtype,
  shape,
  data: Uint8Array.from(values),
});

function integers(count: number, below: number, seed: number): number[] {
  const next = uniform(seed);
  return Array.from({ length: count }, () => Math.floor(next() * below));
}

/** Codes of four bits in words, the first lowest. */
function words(codes: readonly number[]): number[] {
  return Array.from({ length: codes.length / 8 }, (_, word) =>
    codes.slice(8 * word, 8 * word + 8).reduce((sum, code, place) => sum | (code << (4 * place)), 0),
  );
}

const e2m1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
const fp4 = (code: number) => (code & 8 ? -1 : 1) * (e2m1[code & 7] ?? 0);

/** E4M3 by its parts. */
function e4m3(bits: number): number {
  const exponent = (bits >> 3) & 15;
  const fraction = bits & 7;
  const size = exponent === 0 ? (fraction / 8) * 2 ** -6 : (1 + fraction / 8) * 2 ** (exponent - 7);
  return bits & 128 ? -size : size;
}

test("FP8 has a scale for the tensor, for each row, or for blocks whose last ones are cut", async () => {
  const [rows, columns] = [5, 7];
  const codes = integers(rows * columns, 127, 1);
  const weight = bytes("F8_E4M3", [rows, columns], codes);
  const block = { quant_method: "fp8", weight_block_size: [2, 3] };
  const value = (index: number, scale: number) => Math.fround(e4m3(codes[index] ?? 0) * Math.fround(scale));
  const all = codes.map((_, index) => value(index, 0.3));
  assert.deepEqual(await weights({ "a.weight": weight, "a.weight_scale": f32([], [0.3]) }), all);
  const perRow = [0.1, 0.2, 0.3, 0.4, 0.5];
  assert.deepEqual(
    await weights({ "a.weight": weight, "a.weight_scale": f32([rows, 1], perRow) }),
    codes.map((_, index) => value(index, perRow[Math.floor(index / columns)] ?? 0)),
  );
  const grid = Array.from({ length: 9 }, (_, index) => 0.1 * (index + 1));
  assert.deepEqual(
    await weights({ "a.weight": weight, "a.weight_scale_inv": f32([3, 3], grid) }, block),
    codes.map((_, index) => {
      const [row, column] = [Math.floor(index / columns), index % columns];
      return value(index, grid[3 * Math.floor(row / 2) + Math.floor(column / 3)] ?? 0);
    }),
  );
});

test("a stack of FP8 experts has blocks of its own in each", async () => {
  const codes = integers(2 * 3 * 4, 127, 2);
  const grid = [1, 2, 3, 4, 5, 6, 7, 8];
  const found = await weights(
    { experts: bytes("F8_E4M3", [2, 3, 4], codes), experts_scale_inv: f32([2, 2, 2], grid) },
    { quant_method: "fp8", weight_block_size: [2, 2] },
  );
  assert.deepEqual(
    found,
    codes.map((code, index) => {
      const [expert, row, column] = [Math.floor(index / 12), Math.floor((index % 12) / 4), index % 4];
      return Math.fround(
        e4m3(code) * (grid[4 * expert + 2 * Math.floor(row / 2) + Math.floor(column / 2)] ?? 0),
      );
    }),
  );
});

test("MXFP4 keeps each weight, whether its blocks are a dimension or not", async () => {
  const codes = integers(2 * 64, 16, 3);
  const packed = Array.from(
    { length: 64 },
    (_, pair) => (codes[2 * pair] ?? 0) | ((codes[2 * pair + 1] ?? 0) << 4),
  );
  const exponents = [120, 130, 127, 100];
  // Minus zero is zero in GGUF's blocks.
  const expected = codes.map(
    (code, index) => fp4(code) * 2 ** ((exponents[Math.floor(index / 32)] ?? 0) - 127) || 0,
  );
  const scales = bytes("U8", [2, 2], exponents);
  const asBlocks = { w_blocks: bytes("U8", [2, 2, 16], packed), w_scales: scales };
  assert.deepEqual(await weights(asBlocks), expected);
  const flat = { "w.weight": bytes("I8", [2, 32], packed), "w.scale": bytes("F8_E8M0", [2, 2], exponents) };
  assert.deepEqual(await weights(flat), expected);
  const [tensor] = await read(flat);
  assert.equal(tensor?.type, "MXFP4");
});

test("NVFP4 multiplies by the scale of sixteen weights and by the tensor's, or divides by it", async () => {
  const codes = integers(2 * 32, 16, 4);
  const packed = Array.from(
    { length: 32 },
    (_, pair) => (codes[2 * pair] ?? 0) | ((codes[2 * pair + 1] ?? 0) << 4),
  );
  const scales = [0x30, 0x3c, 0x44, 0x28];
  const weight = bytes("U8", [2, 16], packed);
  const expected = (factor: number) =>
    codes.map((code, index) =>
      Math.fround(Math.fround(e4m3(scales[Math.floor(index / 16)] ?? 0) * factor) * fp4(code)),
    );
  const factor = Math.fround(0.01);
  assert.deepEqual(
    await weights({
      "a.weight": weight,
      "a.weight_scale": bytes("F8_E4M3", [2, 2], scales),
      "a.weight_scale_2": f32([], [factor]),
    }),
    expected(factor),
  );
  assert.deepEqual(
    await weights({
      "a.weight_packed": weight,
      "a.weight_scale": bytes("F8_E4M3", [2, 2], scales),
      "a.weight_global_scale": f32([1], [3]),
    }),
    expected(Math.fround(1 / 3)),
  );
});

test("packed integers are read with zero points, which lie along the rows", async () => {
  const [rows, columns, groups] = [8, 16, 2];
  const codes = integers(rows * columns, 16, 5);
  const zeros = integers(rows * groups, 16, 6);
  const scales = Array.from({ length: rows * groups }, (_, index) => (index + 1) / 4);
  const zeroWords = Array.from({ length: groups }, (_, group) =>
    Array.from({ length: rows }, (_, row) => zeros[row * groups + group] ?? 0).reduce(
      (sum, code, place) => sum | (code << (4 * place)),
      0,
    ),
  );
  const found = await weights(
    {
      "a.weight_packed": i32([rows, columns / 8], words(codes)),
      "a.weight_scale": f32([rows, groups], scales),
      "a.weight_zero_point": i32([1, groups], zeroWords),
      "a.weight_shape": i32([2], [rows, columns]),
    },
    { quant_method: "compressed-tensors" },
  );
  assert.deepEqual(
    found,
    codes.map((code, index) => {
      const place = Math.floor(index / columns) * groups + Math.floor((index % columns) / 8);
      return (code - (zeros[place] ?? 0)) * (scales[place] ?? 0);
    }),
  );
});

/** Codes [inputs][outputs], zero points and scales [groups][outputs]; what a weight of output and input is. */
function transposedCase(offset: number) {
  const [inputs, outputs, groups] = [16, 8, 2];
  const codes = integers(inputs * outputs, 16, 7);
  const zeros = integers(groups * outputs, 16, 8);
  const scales = Array.from({ length: groups * outputs }, (_, index) => (index + 1) / 8);
  const expected = (groupOf: (input: number) => number) =>
    Array.from({ length: outputs * inputs }, (_, index) => {
      const [output, input] = [Math.floor(index / inputs), index % inputs];
      const place = groupOf(input) * outputs + output;
      return (
        ((codes[input * outputs + output] ?? 0) - (zeros[place] ?? 0) - offset) * (scales[place] ?? 0) || 0
      );
    });
  return { inputs, outputs, groups, codes, zeros, scales, expected };
}

test("GPTQ packs inputs, has groups in any order, and counts zero points from one", async () => {
  const { inputs, outputs, groups, codes, zeros, scales, expected } = transposedCase(1);
  const packed: number[] = [];
  for (let line = 0; line < inputs / 8; line++) {
    for (let output = 0; output < outputs; output++) {
      let word = 0;
      for (let place = 0; place < 8; place++) {
        word |= (codes[(8 * line + place) * outputs + output] ?? 0) << (4 * place);
      }
      packed.push(word);
    }
  }
  const groupOf = Array.from({ length: inputs }, (_, input) => input % groups);
  const tensors = {
    "a.qweight": i32([inputs / 8, outputs], packed),
    "a.qzeros": i32([groups, outputs / 8], words(zeros)),
    "a.scales": f32([groups, outputs], scales),
    "a.g_idx": i32([inputs], groupOf),
  };
  const found = await weights(tensors, { quant_method: "gptq", bits: 4 });
  assert.deepEqual(
    found,
    expected((input) => groupOf[input] ?? 0),
  );
});

test("AWQ packs outputs in an order of its own", async () => {
  const { inputs, outputs, groups, codes, zeros, scales, expected } = transposedCase(0);
  // From AutoAWQ's packing: nibble i of a word is output order[i].
  const order = [0, 2, 4, 6, 1, 3, 5, 7];
  const pack = (values: readonly number[]) =>
    Array.from({ length: values.length / 8 }, (_, word) =>
      order.reduce((sum, output, place) => sum | ((values[8 * word + output] ?? 0) << (4 * place)), 0),
    );
  const tensors = {
    "a.qweight": i32([inputs, outputs / 8], pack(codes)),
    "a.qzeros": i32([groups, outputs / 8], pack(zeros)),
    "a.scales": f32([groups, outputs], scales),
  };
  const found = await weights(tensors, { quant_method: "awq", bits: 4 });
  assert.deepEqual(
    found,
    expected((input) => Math.floor(input / (inputs / groups))),
  );
});

const eight = bytes("F8_E4M3", [4, 4], integers(16, 127, 9));

const refused: readonly [what: string, tensors: Tensors, message: RegExp, quantization?: object][] = [
  [
    "a scale of another shape",
    { "a.weight": eight, "a.weight_scale_inv": f32([3, 2], [1, 2, 3, 4, 5, 6]) },
    /^m\/model\.safetensors: tensor "a\.weight_scale_inv" has shape \[3, 2\], which is neither one scale for "a\.weight" of \[4, 4\], nor one for each of its rows, nor one for each block of 128 x 128\.$/,
  ],
  [
    "a scale that is not finite",
    { "a.weight": eight, "a.weight_scale": f32([4, 1], [1, Number.NaN, 3, 4]) },
    /^m\/model\.safetensors: tensor "a\.weight_scale" has the scale NaN at place 1; download the file again\.$/,
  ],
  [
    "MXFP4 whose scales are too few",
    { w_blocks: bytes("U8", [2, 2, 16], integers(64, 256, 1)), w_scales: bytes("U8", [2, 1], [1, 2]) },
    /"w_scales" has shape \[2, 1\], but "w_blocks" of \[2, 2, 16\] needs a scale for each 32 weights\.$/,
  ],
  [
    "MXFP4 without scales",
    { w_blocks: bytes("U8", [1, 1, 16], integers(16, 256, 1)) },
    /"w_blocks" lacks its companion "w_scales"; check that all files are downloaded\.$/,
  ],
  [
    "bytes that nothing says how to read",
    { w: bytes("U8", [2, 2], [1, 2, 3, 4]) },
    /"w" has dtype U8, which can be read only with the scales of a known format beside it\.$/,
  ],
  [
    "GPTQ or AWQ without a word which",
    { "a.qweight": i32([1, 8], integers(8, 100, 1)) },
    /"a\.qweight" is packed as by GPTQ or AWQ, but config\.json does not say by which of them\.$/,
  ],
  [
    "a group that there is not, in packed integers",
    {
      "a.weight_packed": i32([1, 2], [1, 2]),
      "a.weight_scale": f32([1, 2], [1, 2]),
      "a.weight_g_idx": i32([16], [...Array(15).fill(0), 2]),
    },
    /"a\.weight_g_idx" has the group 2 for input 15, but there are 2\.$/,
  ],
  [
    "a group that there is not, in GPTQ",
    {
      "a.qweight": i32([1, 8], integers(8, 100, 1)),
      "a.qzeros": i32([1, 1], [0]),
      "a.scales": f32([1, 8], Array(8).fill(1)),
      "a.g_idx": i32([8], [0, 0, -1, 0, 0, 0, 0, 0]),
    },
    /"a\.g_idx" has the group -1 for input 2, but there are 1\.$/,
    { quant_method: "gptq", bits: 4 },
  ],
  [
    "AWQ with eight bits",
    {
      "a.qweight": i32([8, 2], integers(16, 100, 1)),
      "a.qzeros": i32([1, 2], [0, 0]),
      "a.scales": f32([1, 8], Array(8).fill(1)),
    },
    /"a\.qweight" is of AWQ with 8 bits; only 4 can be read\.$/,
    { quant_method: "awq", bits: 8 },
  ],
];

for (const [what, tensors, message, quantization] of refused) {
  test(`${what} is refused`, async () => {
    const reading = async () => {
      for (const tensor of await read(tensors, quantization)) {
        await tensor.read(0, tensor.rows);
      }
    };
    await assert.rejects(reading, { name: "MalformedInputError", message });
  });
}
