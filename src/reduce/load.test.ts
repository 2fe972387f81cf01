import assert from "node:assert/strict";
import { test } from "node:test";
import { fill, gaussian } from "../testing/random.js";
import { loadReducer } from "./load.js";
import { referenceReducer } from "./reference.js";
import { SimdReducer } from "./simd.js";

const simd = loadReducer();
const reducers = { reference: referenceReducer, simd };

/** Logits like a model's: most far below a few. */
function logitsOf(count: number, seed: number): Float32Array {
  return fill(count, gaussian(seed)).map((value) => 4 * value - Math.abs(value) ** 3);
}

/** Score of a row in float64, straight from the definition. */
function exactLogSumExp(logits: Float32Array): number {
  const max = logits.reduce((a, b) => Math.max(a, b));
  return max + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0));
}

function exactDivergence(reference: Float32Array, logits: Float32Array): number {
  const [p, q] = [exactLogSumExp(reference), exactLogSumExp(logits)];
  return reference.reduce((sum, logit, index) => {
    const logP = logit - p;
    return Math.exp(logP) === 0 ? sum : sum + Math.exp(logP) * (logP - ((logits[index] as number) - q));
  }, 0);
}

test("this machine uses the SIMD reductions", () => {
  assert.ok(simd instanceof SimdReducer);
});

for (const [name, reducer] of Object.entries(reducers)) {
  test(`${name}: scores and divergences of rows of all lengths are exact to seven digits`, () => {
    for (const count of [1, 2, 3, 4, 5, 7, 8, 100, 2048, 151_936]) {
      const reference = logitsOf(count, count);
      const logits = reference.map((value, index) => value + 0.1 * Math.sin(index));
      const { reference: first, score, divergence } = reducer.compareRows(reference, logits);
      assert.deepEqual(reducer.scoreRow(logits), score);
      assert.ok(Math.abs(first.logSumExp - exactLogSumExp(reference)) < 3e-7, `${count}`);
      assert.ok(Math.abs(score.logSumExp - exactLogSumExp(logits)) < 3e-7, `${count}`);
      assert.ok(Math.abs(divergence - exactDivergence(reference, logits)) < 1e-6, `${count}`);
      assert.equal(score.top, logits.indexOf(logits.reduce((a, b) => Math.max(a, b))));
    }
  });

  test(`${name}: a row has no divergence from itself`, () => {
    const logits = logitsOf(1000, 1);
    assert.ok(Math.abs(reducer.compareRows(logits, logits).divergence) < 1e-12);
  });

  test(`${name}: small divergences are exact to a hundred-millionth`, () => {
    const reference = logitsOf(2048, 3);
    const logits = reference.map((value, index) => value + 0.003 * Math.sin(index));
    const exact = exactDivergence(reference, logits);
    assert.ok(exact > 1e-7 && exact < 1e-5);
    assert.ok(Math.abs(reducer.compareRows(reference, logits).divergence - exact) < 1e-8);
  });

  test(`${name}: the first of equal logits is the top`, () => {
    const logits = new Float32Array(11);
    logits[6] = 1;
    logits[9] = 1;
    assert.equal(reducer.scoreRow(logits).top, 6);
  });

  test(`${name}: logits far apart do not overflow, and excluded tokens have no weight`, () => {
    const logits = new Float32Array([3e38, -3e38, Number.NEGATIVE_INFINITY, 1, 0]);
    assert.deepEqual(reducer.scoreRow(logits), { top: 0, logSumExp: Math.fround(3e38) });
    const excluding = new Float32Array([1, 2, Number.NEGATIVE_INFINITY, 0, 0]);
    const { divergence } = reducer.compareRows(excluding, excluding);
    assert.ok(Math.abs(divergence) < 1e-12);
    const nothing = reducer.compareRows(
      new Float32Array([1, 2, 3]),
      new Float32Array([1, 2, Number.NEGATIVE_INFINITY]),
    );
    assert.equal(nothing.divergence, Number.POSITIVE_INFINITY);
  });

  test(`${name}: a logit that is NaN or infinite makes the score NaN`, () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const at of [0, 3, 8]) {
        const logits = logitsOf(9, 5);
        logits[at] = bad;
        assert.ok(Number.isNaN(reducer.scoreRow(logits).logSumExp), `${bad} at ${at}`);
      }
    }
  });

  test(`${name}: squares of rows are added to the sums they belong to, in order`, () => {
    for (const columns of [1, 4, 7, 8, 13, 256]) {
      const rows = fill(columns * 40, gaussian(columns));
      // Rows in a changing order, of which some overlap, for three sums.
      const entries = Uint32Array.from({ length: 2 * 37 }, (_, index) =>
        index % 2 === 0 ? ((index * 11) % 39) * columns : columns * ((index * 5) % 3),
      );
      const sums = fill(3 * columns, gaussian(9));
      const expected = sums.slice();
      for (let entry = 0; entry < entries.length; entry += 2) {
        for (let column = 0; column < columns; column++) {
          const value = rows[(entries[entry] as number) + column] as number;
          const target = (entries[entry + 1] as number) + column;
          expected[target] = Math.fround((expected[target] as number) + Math.fround(value * value));
        }
      }
      reducer.addSquares(sums, rows, columns, entries);
      assert.deepEqual(sums, expected);
    }
  });
}

test("rows too many for the workspace are added in blocks", () => {
  const columns = 1000;
  const rows = new Float32Array(5000 * columns).fill(2);
  const entries = Uint32Array.from({ length: 10_000 }, (_, index) =>
    index % 2 === 0 ? (index / 2) * columns : 0,
  );
  const sums = new Float32Array(columns);
  simd.addSquares(sums, rows, columns, entries);
  assert.ok(sums.every((value) => value === 20_000));
});
