import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ggmlDecode, ggmlEncode } from "../testing/ggml.js";
import { qualityOf } from "../testing/quality.js";
import { randomRows } from "../testing/rows.js";
import { decodeRows, encodeRows } from "./codec.js";
import { rowBytes } from "./types.js";

function encode(weights: Float32Array, columns: number, importance?: Float32Array): Uint8Array {
  const bytes = new Uint8Array((weights.length / columns) * rowBytes("MXFP4", columns));
  encodeRows("MXFP4", weights, columns, importance, bytes);
  return bytes;
}

describe("encoding MXFP4", () => {
  for (const distribution of ["gaussian", "laplacian"] as const) {
    it(`has unit gain and less error than llama.cpp's, as llama.cpp reads it: ${distribution}`, () => {
      const rows = randomRows(distribution, 64, 512, true);
      const { weights, importance } = rows;
      const bytes = encode(weights, 512, importance);
      const decoded = new Float32Array(weights.length);
      decodeRows("MXFP4", bytes, decoded);
      assert.deepEqual(ggmlDecode("MXFP4", bytes, weights.length), decoded);
      const ours = qualityOf(rows, decoded);
      const theirs = qualityOf(
        rows,
        ggmlDecode("MXFP4", ggmlEncode("MXFP4", weights, 512, importance), weights.length),
      );
      assert.ok(Math.abs(ours.gain - 1) < 2e-3, `gain ${ours.gain}`);
      assert.ok(ours.error < theirs.error, `${ours.error} against ${theirs.error}`);
    });
  }

  it("keeps weights that are MXFP4 already, zeros, and sizes at both ends of float32", () => {
    const weights = new Float32Array(96);
    weights.set([0.5, -1, 1.5, 2, -3, 4, 6, -6], 0);
    weights.set([2 ** -120, -(2 ** -121)], 32);
    const decoded = new Float32Array(96);
    decodeRows("MXFP4", encode(weights, 96), decoded);
    assert.deepEqual(decoded, weights);
    decodeRows("MXFP4", encode(new Float32Array(32).fill(-3e38), 32), decoded.subarray(0, 32));
    assert.ok(decoded.subarray(0, 32).every((weight) => weight < -(2 ** 27)));
  });
});
