import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fill, gaussian, uniform } from "../testing/random.js";
import { measureRows } from "./measure.js";

const columns = 300;

/** The same with nothing but float64. */
function exactly(w: Float32Array, q: Float32Array, importance: Float32Array): number[] {
  const sums = [0, 0, 0];
  for (const [c, weight] of w.entries()) {
    const i = importance[c]!;
    const difference = weight - q[c]!;
    sums[0]! += i * weight * weight;
    sums[1]! += i * weight * difference;
    sums[2]! += i * difference * difference;
  }
  return sums;
}

describe("measuring rows", () => {
  for (const size of [1, 1e-30, 1e-15, 1e-3, 1e15, 1e37]) {
    it(`loses nothing of weights of about ${size}`, () => {
      const w = fill(columns, gaussian(1)).map((value) => size * value);
      const next = gaussian(2);
      const q = w.map((value) => value * (1 + next() / 1000));
      const importance = fill(columns, uniform(3));
      const sums = new Float64Array(3);
      measureRows(w, q, importance, columns, sums);
      const expected = exactly(w, q, importance);
      for (const [k, sum] of sums.entries()) {
        assert.ok(Math.abs(sum - expected[k]!) < 1e-6 * Math.sqrt(expected[0]! * expected[2]!) + 1e-6 * sum);
      }
    });
  }

  it("finds a row that became zero to be lost as a whole", () => {
    const w = fill(columns, gaussian(4));
    const sums = new Float64Array(3);
    measureRows(w, new Float32Array(columns), fill(columns, uniform(5)), columns, sums);
    assert.ok(sums[0]! > 0);
    assert.deepEqual([sums[1], sums[2]], [sums[0], sums[0]]);
  });
});
