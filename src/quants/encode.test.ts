import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ggmlEncode } from "../testing/ggml.js";
import { fill, gaussian, laplacian } from "../testing/random.js";
import { decodeRows, encodeRows } from "./codec.js";
import { rowBytes, type TypeName } from "./types.js";

function encode(
  type: TypeName,
  weights: Float32Array,
  columns: number,
  importance?: Float32Array,
): Uint8Array {
  const out = new Uint8Array((weights.length / columns) * rowBytes(type, columns));
  encodeRows(type, weights, columns, importance, out);
  return out;
}

describe("encoding Q8_0", () => {
  it("gives llama.cpp's bytes", () => {
    for (const next of [gaussian(1), laplacian(2)]) {
      const weights = fill(64 * 256, next);
      weights.set(new Float32Array(64), 256);
      weights.fill(0.25, 512, 544);
      assert.deepEqual(encode("Q8_0", weights, 256), ggmlEncode("Q8_0", weights, 256));
    }
  });

  it("gives llama.cpp's bytes for weights whose quotients lie half way between codes", () => {
    const weights = Float32Array.from({ length: 256 }, (_, i) => (i % 32 === 0 ? 127 : i - 128 + 0.5));
    assert.deepEqual(encode("Q8_0", weights, 256), ggmlEncode("Q8_0", weights, 256));
  });

  it("stores huge weights as well as the format can, and denormal ones as zero", () => {
    const out = new Float32Array(32);
    decodeRows("Q8_0", encode("Q8_0", new Float32Array(32).fill(-3e38), 32), out);
    assert.deepEqual(out, new Float32Array(32).fill(-127 * 65504));
    decodeRows("Q8_0", encode("Q8_0", new Float32Array(32).fill(1e-44), 32), out);
    assert.deepEqual(out, new Float32Array(32));
  });
});

describe("encodeRows", () => {
  it("names row and column of a weight that is not finite", () => {
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      const weights = new Float32Array(3 * 64);
      weights[2 * 64 + 5] = bad;
      assert.throws(() => encode("Q8_0", weights, 64), {
        name: "MalformedInputError",
        message: `row 2, column 5: the weight is ${bad}, which Q8_0 cannot store.`,
        details: { row: 2, column: 5 },
      });
    }
  });

  it("names the column of an importance that is not finite or negative", () => {
    for (const bad of [Number.NaN, Infinity, -1]) {
      const importance = new Float32Array(64).fill(1);
      importance[7] = bad;
      assert.throws(() => encode("Q8_0", new Float32Array(64), 64, importance), {
        message: `column 7: the importance is ${bad}; it must be finite and not negative.`,
      });
    }
  });

  it("refuses types that it cannot encode", () => {
    assert.throws(() => encode("Q1_0", new Float32Array(256), 256), {
      name: "UsageError",
      message: "weights cannot be encoded as Q1_0.",
    });
  });
});
