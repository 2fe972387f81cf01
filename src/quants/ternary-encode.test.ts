import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ggmlDecode, ggmlEncode } from "../testing/ggml.js";
import { qualityOf } from "../testing/quality.js";
import { fill, gaussian } from "../testing/random.js";
import { randomRows } from "../testing/rows.js";
import { decodeRows, encodeRows } from "./codec.js";
import { rowBytes } from "./types.js";

for (const type of ["TQ1_0", "TQ2_0"] as const) {
  describe(`encoding ${type}`, () => {
    const encode = (weights: Float32Array, columns: number, importance?: Float32Array) => {
      const bytes = new Uint8Array((weights.length / columns) * rowBytes(type, columns));
      encodeRows(type, weights, columns, importance, bytes);
      return bytes;
    };

    it("writes blocks that llama.cpp reads as we do", () => {
      const weights = fill(8 * 512, gaussian(3));
      const decoded = new Float32Array(weights.length);
      const bytes = encode(weights, 512);
      decodeRows(type, bytes, decoded);
      assert.deepEqual(ggmlDecode(type, bytes, decoded.length), decoded);
      assert.equal(new Set(decoded.subarray(0, 256).map(Math.abs)).size, 2);
    });

    it("has unit gain, and at unit gain half of llama.cpp's error at most", () => {
      const rows = randomRows("gaussian", 64, 512, true);
      const { weights, importance } = rows;
      const quality = (bytes: Uint8Array) => qualityOf(rows, ggmlDecode(type, bytes, weights.length));
      const ours = quality(encode(weights, 512, importance));
      const theirs = quality(ggmlEncode(type, weights, 512, importance));
      assert.ok(Math.abs(ours.gain - 1) < 1e-3, `gain ${ours.gain}`);
      assert.ok(ours.error < 0.5 * theirs.error, `${ours.error} against ${theirs.error}`);
    });

    it("keeps weights that are ternary already, and rows of zeros", () => {
      const next = gaussian(5);
      const ternary = fill(256, () => 0.25 * Math.sign(Math.round(next())));
      for (const weights of [ternary, new Float32Array(256)]) {
        const decoded = new Float32Array(256);
        decodeRows(type, encode(weights, 256), decoded);
        assert.deepEqual(
          decoded.map((value) => value + 0),
          weights.map((value) => value + 0),
        );
      }
    });
  });
}
