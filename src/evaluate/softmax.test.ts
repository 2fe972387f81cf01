import assert from "node:assert/strict";
import { test } from "node:test";
import { fill, gaussian } from "../testing/random.js";
import { compareRows, expOfNegative, indexOfMax, scoreRow } from "./softmax.js";

function near(actual: number, expected: number, relative: number): void {
  assert.ok(Math.abs(actual - expected) <= relative * Math.abs(expected), `${actual} against ${expected}`);
}

/** The definitions, in the plainest form. */
function logProbabilities(logits: Float32Array): number[] {
  const max = Math.max(...logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - max), 0);
  return Array.from(logits, (logit) => logit - max - Math.log(sum));
}

function row(seed: number, size = 2049, spread = 4): Float32Array {
  return fill(size, gaussian(seed)).map((value) => value * spread);
}

test("the exponential is that of Math.exp over the whole range of float32's results", () => {
  for (let x = 0; x > -104; x -= 0.00717) {
    near(expOfNegative(x), Math.exp(x), 1e-10);
  }
  assert.equal(expOfNegative(0), 1);
  assert.ok(expOfNegative(-1000) < 1e-75);
  assert.ok(expOfNegative(-Infinity) < 1e-75);
  assert.ok(Number.isNaN(expOfNegative(Number.NaN)));
});

test("the first of equal logits is the top token", () => {
  assert.equal(indexOfMax(Float32Array.of(1, 3, 2, 3)), 1);
  assert.equal(indexOfMax(Uint16Array.of(0, 0)), 0);
});

test("a row's normalization is the logarithm of the sum of exponentials", () => {
  for (const seed of [1, 2, 3]) {
    const logits = row(seed);
    const { top, logSumExp } = scoreRow(logits);
    near((logits[0] as number) - logSumExp, logProbabilities(logits)[0] as number, 1e-7);
    assert.equal(logits[top], Math.max(...logits));
  }
});

test("logits far from zero neither overflow nor vanish", () => {
  near(scoreRow(Float32Array.of(1e4, 1e4 - 1)).logSumExp, 1e4 + Math.log(1 + Math.exp(-1)), 1e-9);
  near(scoreRow(Float32Array.of(-1e4, -1e4)).logSumExp, -1e4 + Math.LN2, 1e-9);
  assert.equal(scoreRow(Float32Array.of(5, -Infinity)).logSumExp, 5);
});

test("a logit that is no number shows in the normalization", () => {
  for (const bad of [Number.NaN, Infinity]) {
    assert.ok(Number.isNaN(scoreRow(Float32Array.of(1, bad, 2)).logSumExp));
    assert.ok(Number.isNaN(scoreRow(Float32Array.of(bad, 1)).logSumExp));
  }
});

test("the divergence is the sum of p ln(p / q)", () => {
  for (const distance of [0.01, 1]) {
    const reference = row(1);
    const logits = reference.map((logit, i) => logit + distance * (row(2)[i] as number));
    const p = logProbabilities(reference);
    const q = logProbabilities(logits);
    const expected = p.reduce((sum, log, i) => sum + Math.exp(log) * (log - (q[i] as number)), 0);
    const comparison = compareRows(reference, logits);
    near(comparison.divergence, expected, 1e-4);
    near(comparison.score.logSumExp, scoreRow(logits).logSumExp, 1e-15);
    near(comparison.reference.logSumExp, scoreRow(reference).logSumExp, 1e-15);
  }
});

test("a row does not diverge from itself, shifted or not", () => {
  const logits = row(7);
  assert.equal(compareRows(logits, logits).divergence, 0);
  assert.ok(
    Math.abs(
      compareRows(
        logits,
        logits.map((logit) => logit + 8),
      ).divergence,
    ) < 1e-6,
  );
});

test("a token that the reference excludes adds nothing, one that only the model excludes is infinitely far", () => {
  const [open, closed] = [Float32Array.of(0, 0, 0), Float32Array.of(0, 0, -Infinity)];
  near(compareRows(closed, open).divergence, Math.log(3 / 2), 1e-9);
  assert.equal(compareRows(closed, closed).divergence, 0);
  assert.equal(compareRows(open, closed).divergence, Infinity);
});
