import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GGMLQuantizationType } from "@huggingface/gguf";
import { ggmlTypeSize } from "../testing/ggml.js";
import { fill, gaussian } from "../testing/random.js";
import { decodeRows, encodeRows } from "./codec.js";
import { bitsPerWeight, rowBytes, traitsOf, types } from "./types.js";

describe("the table of tensor types", () => {
  it("has llama.cpp's block sizes and Hugging Face's numbers", () => {
    for (const traits of types.values()) {
      const { blockSize, blockBytes } = traits;
      assert.deepEqual({ blockSize, blockBytes }, ggmlTypeSize(traits.name), traits.name);
      const id = GGMLQuantizationType[traits.name as keyof typeof GGMLQuantizationType];
      if (id !== undefined) {
        assert.equal(traits.id, id, traits.name);
      }
    }
  });

  it("gives the bits per weight that llama.cpp documents", () => {
    assert.equal(bitsPerWeight("IQ2_S"), 2.5625);
    assert.equal(bitsPerWeight("IQ3_S"), 3.4375);
    assert.equal(bitsPerWeight("Q4_K"), 4.5);
    assert.equal(bitsPerWeight("Q6_K"), 6.5625);
  });

  it("says of each type what the codec can do with it", () => {
    const can = (work: () => void) => {
      try {
        work();
        return true;
      } catch {
        return false;
      }
    };
    for (const { name, blockSize, blockBytes, canDecode, canEncode } of types.values()) {
      const bytes = new Uint8Array(blockBytes);
      const weights = new Float32Array(blockSize);
      assert.equal(
        can(() => decodeRows(name, bytes, weights)),
        canDecode,
        name,
      );
      assert.equal(
        can(() => encodeRows(name, weights, blockSize, undefined, bytes)),
        canEncode,
        name,
      );
    }
  });

  it("names fallbacks with smaller blocks, and typical errors of what can be encoded", () => {
    for (const { name, blockSize, canEncode, quantized, fallback, typicalError } of types.values()) {
      if (fallback !== undefined) {
        assert.ok(traitsOf(fallback).blockSize < blockSize, name);
        assert.ok(bitsPerWeight(fallback) > bitsPerWeight(name) - 0.1, name);
      }
      assert.equal(typicalError !== undefined, canEncode && (quantized || name !== "F32"), name);
    }
  });

  it("has the errors that encoders leave on normal weights under log-normal importance", () => {
    const columns = 512;
    const weights = fill(16 * columns, gaussian(31));
    const next = gaussian(32);
    const importance = fill(columns, () => Math.exp(next()));
    for (const { name, typicalError } of types.values()) {
      if (typicalError === undefined) {
        continue;
      }
      const bytes = new Uint8Array(16 * rowBytes(name, columns));
      const decoded = new Float32Array(weights.length);
      encodeRows(name, weights, columns, importance, bytes);
      decodeRows(name, bytes, decoded);
      let [error, energy] = [0, 0];
      for (const [i, weight] of weights.entries()) {
        error += importance[i % columns]! * (weight - decoded[i]!) ** 2;
        energy += importance[i % columns]! * weight ** 2;
      }
      const ratio = error / energy / typicalError;
      assert.ok(ratio > 0.85 && ratio < 1.18, `${name}: ${error / energy}`);
    }
  });

  it("refuses a row that does not fill whole blocks", () => {
    assert.throws(() => rowBytes("Q4_K", 300), {
      message: "a row of 300 weights cannot be Q4_K: it is not a multiple of 256.",
    });
  });
});
