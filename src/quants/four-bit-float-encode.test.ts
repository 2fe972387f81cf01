import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ggmlDecode, ggmlEncode, ggmlValidate } from "../testing/ggml.js";
import { qualityOf } from "../testing/quality.js";
import { randomRows } from "../testing/rows.js";
import { decodeRows, encodeRows } from "./codec.js";
import { rowBytes } from "./types.js";

for (const type of ["MXFP4", "NVFP4"] as const) {
  describe(`encoding ${type}`, () => {
    const encode = (weights: Float32Array, columns: number, importance?: Float32Array) => {
      const bytes = new Uint8Array((weights.length / columns) * rowBytes(type, columns));
      encodeRows(type, weights, columns, importance, bytes);
      return bytes;
    };

    for (const distribution of ["gaussian", "laplacian"] as const) {
      it(`has unit gain and less error than llama.cpp's, as llama.cpp reads it: ${distribution}`, () => {
        const rows = randomRows(distribution, 64, 512, true);
        const { weights, importance } = rows;
        const bytes = encode(weights, 512, importance);
        assert.ok(ggmlValidate(type, bytes));
        const decoded = new Float32Array(weights.length);
        decodeRows(type, bytes, decoded);
        assert.deepEqual(ggmlDecode(type, bytes, weights.length), decoded);
        const ours = qualityOf(rows, decoded);
        const theirs = qualityOf(
          rows,
          ggmlDecode(type, ggmlEncode(type, weights, 512, importance), weights.length),
        );
        assert.ok(Math.abs(ours.gain - 1) < 2e-3, `gain ${ours.gain}`);
        const limit = type === "NVFP4" ? 0.8 : 1;
        assert.ok(ours.error < limit * theirs.error, `${ours.error} against ${theirs.error}`);
      });
    }

    it("keeps weights that are of the type already, zeros, and sizes at both ends of the type", () => {
      const columns = 128;
      const weights = new Float32Array(columns);
      weights.set([0.5, -1, 1.5, 2, -3, 4, 6, -6], 0);
      const smallest = type === "NVFP4" ? 2 ** -10 : 2 ** -120;
      weights.set([6 * smallest, -4 * smallest, smallest], 64);
      const decoded = new Float32Array(columns);
      decodeRows(type, encode(weights, columns), decoded);
      assert.deepEqual(decoded, weights);
      decodeRows(type, encode(new Float32Array(columns).fill(-3e38), columns), decoded);
      const largest = type === "NVFP4" ? 448 * 6 : 2 ** 27;
      assert.ok(decoded.every((weight) => weight <= -largest));
      decodeRows(type, encode(new Float32Array(columns).fill(1e-12), columns), decoded);
      assert.ok(decoded.every((weight) => weight >= 0 && weight < 1e-3));
    });
  });
}
