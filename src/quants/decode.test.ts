import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ggmlDecode } from "../testing/ggml.js";
import { uniform } from "../testing/random.js";
import { decodeRows } from "./codec.js";
import { halfScalesOf } from "./half-scales.js";
import { rowBytes, type TypeName, types } from "./types.js";

const decodable = [...types.values()].filter((traits) => traits.canDecode && traits.name !== "F32");

function randomBlocks(type: TypeName, blocks: number, seed: number): Uint8Array {
  const next = uniform(seed);
  return Uint8Array.from({ length: blocks * types.get(type)!.blockBytes }, () => 256 * next());
}

/** The bits of every number, all NaN alike: what "bit-exact" compares. */
function bits(values: Float32Array): Uint32Array {
  const canonical = values.map((value) => (Number.isNaN(value) ? Number.NaN : value));
  return new Uint32Array(canonical.buffer);
}

function assertDecodesAlike(type: TypeName, bytes: Uint8Array): void {
  const { blockSize, blockBytes } = types.get(type)!;
  const out = new Float32Array((bytes.length / blockBytes) * blockSize);
  decodeRows(type, bytes, out);
  assert.deepEqual(bits(out), bits(ggmlDecode(type, bytes, out.length)), type);
}

describe("decoding", () => {
  for (const { name } of decodable) {
    it(`gives llama.cpp's bits for random blocks of ${name}`, () => {
      assertDecodesAlike(name, randomBlocks(name, 64, 1));
    });
  }

  for (const { name, blockBytes } of decodable) {
    const offsets = halfScalesOf(name);
    if (!offsets) {
      continue;
    }
    it(`gives llama.cpp's bits for ${name} with zero, subnormal, infinite and NaN scales`, () => {
      const special = [0, 0x8000, 1, 0x8001, 0x3ff, 0x400, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0xfe01];
      const bytes = randomBlocks(name, special.length ** offsets.length, 2);
      for (let block = 0; block * blockBytes < bytes.length; block++) {
        for (const [place, offset] of offsets.entries()) {
          const scale = special[Math.floor(block / special.length ** place) % special.length]!;
          bytes[block * blockBytes + offset] = scale;
          bytes[block * blockBytes + offset + 1] = scale >> 8;
        }
      }
      assertDecodesAlike(name, bytes);
    });
  }

  it("gives llama.cpp's bits for every exponent of MXFP4", () => {
    const bytes = randomBlocks("MXFP4", 256, 3);
    for (let exponent = 0; exponent < 256; exponent++) {
      bytes[17 * exponent] = exponent;
    }
    assertDecodesAlike("MXFP4", bytes);
  });

  it("reads F32 as it is, from an address that is no multiple of four", () => {
    const bytes = new Uint8Array(9);
    new DataView(bytes.buffer).setFloat32(1, 1.5, true);
    new DataView(bytes.buffer).setFloat32(5, -0, true);
    const out = new Float32Array(2);
    decodeRows("F32", bytes.subarray(1), out);
    assert.deepEqual(out, Float32Array.of(1.5, -0));
  });

  it("refuses types that it cannot decode", () => {
    assert.throws(() => decodeRows("I32", new Uint8Array(4), new Float32Array(1)), {
      name: "UsageError",
      message: "weights of type I32 cannot be decoded.",
    });
  });

  it("refuses bytes that are not exactly the weights", () => {
    const bytes = new Uint8Array(rowBytes("Q4_0", 64) - 1);
    assert.throws(() => decodeRows("Q4_0", bytes, new Float32Array(64)), {
      message: "64 weights of type Q4_0 take 36 bytes, not 35.",
    });
  });
});
