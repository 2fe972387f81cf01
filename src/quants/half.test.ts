import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ggmlEncode } from "../testing/ggml.js";
import { uniform } from "../testing/random.js";
import { encodeRows } from "./codec.js";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "./half.js";

/** Random float32 bit patterns, and the neighbourhood of every F16 number and of the midpoints between them. */
function awkwardFloats(): Float32Array {
  const next = uniform(1);
  const bits: number[] = Array.from({ length: 50_000 }, () => next() * 2 ** 32);
  const buffer = new Uint32Array(1);
  const value = new Float32Array(buffer.buffer);
  for (let half = 0; half < 0x7c00; half += 7) {
    value[0] = f16ToF32(half);
    const midpoint = (f16ToF32(half) + f16ToF32(half + 1)) / 2;
    for (const center of [f16ToF32(half), Number.isFinite(midpoint) ? midpoint : 65520]) {
      value[0] = center;
      for (const step of [-1, 0, 1]) {
        bits.push(buffer[0]! + step, (buffer[0]! + step) ^ 0x80000000);
      }
    }
  }
  const floats = new Float32Array(Uint32Array.from(bits).buffer);
  return floats.filter((float) => !Number.isNaN(float));
}

describe("half precision", () => {
  it("reads and writes back all 65536 numbers of F16", () => {
    for (let bits = 0; bits < 65536; bits++) {
      const value = f16ToF32(bits);
      if (Number.isNaN(value)) {
        assert.ok(Number.isNaN(f16ToF32(f32ToF16(value))));
      } else {
        assert.equal(f32ToF16(value), bits);
      }
    }
  });

  it("reads and writes back all 65536 numbers of BF16", () => {
    for (let bits = 0; bits < 65536; bits++) {
      const value = bf16ToF32(bits);
      if (Number.isNaN(value)) {
        assert.ok(Number.isNaN(bf16ToF32(f32ToBf16(value))));
      } else {
        assert.equal(f32ToBf16(value), bits);
      }
    }
  });

  for (const type of ["F16", "BF16"] as const) {
    it(`rounds to ${type} as llama.cpp does`, () => {
      const floats = awkwardFloats();
      const bytes = new Uint8Array(2 * floats.length);
      encodeRows(type, floats, floats.length, undefined, bytes);
      assert.deepEqual(bytes, ggmlEncode(type, floats, floats.length));
    });
  }

  it("keeps NaN as NaN", () => {
    assert.ok(Number.isNaN(f16ToF32(f32ToF16(Number.NaN))));
    assert.ok(Number.isNaN(bf16ToF32(f32ToBf16(Number.NaN))));
  });
});
