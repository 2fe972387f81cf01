import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GGMLQuantizationType } from "@huggingface/gguf";
import { ggmlTypeSize } from "../testing/ggml.js";
import { bitsPerWeight, rowBytes, types } from "./types.js";

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

  it("refuses a row that does not fill whole blocks", () => {
    assert.throws(() => rowBytes("Q4_K", 300), {
      message: "a row of 300 weights cannot be Q4_K: it is not a multiple of 256.",
    });
  });
});
