import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { decodeRows, encodeRows } from "../../quants/codec.js";
import { rowBytes } from "../../quants/types.js";
import { openGguf } from "../gguf-model.js";
import { rowCount, type SourceTensor, weightCount } from "../source.js";
import {
  type ConversionTarget,
  conversionFileType,
  conversionType,
  parseConversionTarget,
} from "./conversion.js";
import { openHuggingFaceFolder } from "./open.js";

const folder = "fixtures/tiny-moe";

/** Reads the tensor in slices of rows of an awkward size and converts each. */
async function convert(tensor: SourceTensor, target: ConversionTarget): Promise<Uint8Array> {
  const type = conversionType(tensor, target);
  const columns = tensor.shape[0]!;
  const rows = rowCount(tensor.shape);
  const out = new Uint8Array(rows * rowBytes(type, columns));
  const slice = 393;
  for (let first = 0; first < rows; first += slice) {
    const count = Math.min(slice, rows - first);
    const bytes = await tensor.readRows(first, count);
    const weights = new Float32Array(count * columns);
    decodeRows(tensor.type, bytes, weights);
    const encoded = out.subarray(first * rowBytes(type, columns), (first + count) * rowBytes(type, columns));
    encodeRows(type, weights, columns, undefined, encoded);
  }
  return out;
}

for (const target of ["BF16", "Q8_0"] as const) {
  test(`the tiny model converted to ${target} has exactly the tensors that llama.cpp's gguf-py made`, async (t) => {
    const expected = JSON.parse(await readFile("fixtures/reference/tensors.json", "utf8"))[
      target.toLowerCase()
    ];
    const model = await openHuggingFaceFolder(folder);
    t.after(() => model.close());
    const actual: Record<string, unknown> = {};
    for (const tensor of model.tensors) {
      actual[tensor.name] = {
        type: conversionType(tensor, target),
        shape: tensor.shape,
        sha256: createHash("sha256")
          .update(await convert(tensor, target))
          .digest("hex"),
      };
    }
    assert.deepEqual(actual, expected);
  });
}

test("the tiny model converted to Q8_0 has the tensor data of the reference file, byte for byte", async (t) => {
  const model = await openHuggingFaceFolder(folder);
  t.after(() => model.close());
  const reference = await openGguf("fixtures/tiny-moe-q8_0.gguf");
  t.after(() => reference.close());
  for (const tensor of model.tensors) {
    const expected = reference.tensors.find(({ name }) => name === tensor.name);
    assert.ok(expected, tensor.name);
    const bytes = await expected.readRows(0, rowCount(expected.shape));
    assert.deepEqual(await convert(tensor, "Q8_0"), bytes, tensor.name);
  }
  assert.equal(model.tensors.length, reference.tensors.length);
});

test("a slice of rows over the border of two experts has the end of one and the begin of the next", async (t) => {
  const model = await openHuggingFaceFolder(folder);
  t.after(() => model.close());
  const tensor = model.tensors.find(({ name }) => name === "blk.2.ffn_up_exps.weight")!;
  const whole = await tensor.readRows(0, rowCount(tensor.shape));
  const bytesPerRow = whole.byteLength / rowCount(tensor.shape);
  for (const [first, count] of [
    [255, 2],
    [0, 1],
    [4095, 1],
    [100, 700],
    [256, 256],
    [300, 0],
  ] as const) {
    const expected = whole.slice(first * bytesPerRow, (first + count) * bytesPerRow);
    assert.deepEqual(await tensor.readRows(first, count), expected, `${first}+${count}`);
  }
  await assert.rejects(tensor.readRows(4095, 2), { name: "InternalError" });
  assert.equal(weightCount(tensor.shape), 256 * 256 * 16);
});

test("norms, biases, routers and tensors of one dimension stay F32 in every conversion", () => {
  for (const target of ["F32", "F16", "BF16", "Q8_0"] as const) {
    for (const [name, shape] of [
      ["output_norm.weight", [256]],
      ["blk.0.attn_norm.weight", [256, 2]],
      ["blk.0.attn_q.bias", [256]],
      ["blk.0.ffn_gate_inp.weight", [256, 16]],
      ["blk.0.ffn_gate_inp_shexp.weight", [256, 1]],
    ] as const) {
      assert.equal(conversionType({ name, shape }, target), "F32", name);
    }
    assert.equal(conversionType({ name: "blk.0.ffn_gate_exps.weight", shape: [64, 8, 4] }, target), target);
  }
});

test("a row that does not fill Q8_0's blocks becomes F16, and other targets keep theirs", () => {
  const tensor = { name: "blk.0.ffn_down.weight", shape: [100, 256] };
  assert.equal(conversionType(tensor, "Q8_0"), "F16");
  assert.equal(conversionType(tensor, "BF16"), "BF16");
});

test("a conversion target is read in any case and has llama.cpp's file type", () => {
  const fileTypes = ["f32", "F16", "bf16", "Q8_0"].map((text) =>
    conversionFileType(parseConversionTarget(text)),
  );
  assert.deepEqual(fileTypes, [0, 1, 32, 7]);
  assert.throws(() => parseConversionTarget("q4_k"), {
    name: "UsageError",
    message: 'a model cannot be converted to "q4_k"; use one of bf16, f16, f32, q8_0.',
  });
  assert.throws(() => parseConversionTarget("constructor"), { name: "UsageError" });
});
