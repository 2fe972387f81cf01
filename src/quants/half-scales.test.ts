import assert from "node:assert/strict";
import { test } from "node:test";
import { fill, gaussian } from "../testing/random.js";
import { decodeRows, encodeRows } from "./codec.js";
import { halfScalesOf, multiplyRows } from "./half-scales.js";
import { rowBytes, types } from "./types.js";

const columns = 512;

for (const { name } of [...types.values()].filter(({ name, canEncode }) => canEncode && halfScalesOf(name))) {
  test(`rows of ${name} are multiplied by their scales alone`, () => {
    const weights = fill(3 * columns, gaussian(1));
    const bytes = new Uint8Array(3 * rowBytes(name, columns));
    encodeRows(name, weights, columns, new Float32Array(columns).fill(1), bytes, "fast");
    const before = new Float32Array(3 * columns);
    decodeRows(name, bytes, before);
    const multiplied = bytes.slice();
    multiplyRows(name, multiplied, columns, Float32Array.of(1, 2, 1.03));
    const after = new Float32Array(3 * columns);
    decodeRows(name, multiplied, after);
    assert.deepEqual(after.subarray(0, columns), before.subarray(0, columns));
    const factors = [2, 1.03] as const;
    for (const [row, factor] of factors.entries()) {
      for (let i = (row + 1) * columns; i < (row + 2) * columns; i++) {
        // An F16 number is rounded by half of 2^-10 at most; a minimum is taken away from what its scale makes.
        const most = row === 0 ? 1e-6 : 2 ** -10;
        assert.ok(Math.abs(after[i]! - factor * before[i]!) <= most * 4, `${i}: ${after[i]}, ${before[i]}`);
      }
    }
  });
}
