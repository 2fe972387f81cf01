import assert from "node:assert/strict";
import { test } from "node:test";
import { firstScored, perplexityOf, scoredPerChunk } from "./perplexity.js";
import { percentile, RunningStatistics } from "./statistics.js";

function momentsOf(values: number[]): RunningStatistics {
  const moments = new RunningStatistics();
  for (const value of values) {
    moments.add(value);
  }
  return moments;
}

test("a mean has the standard error of a mean, from eleven values on", () => {
  const values = Array.from({ length: 12 }, (_, i) => i);
  assert.equal(momentsOf(values).estimate().mean, 5.5);
  assert.ok(Math.abs(momentsOf(values).estimate().error - Math.sqrt(143 / 12 / 11)) < 1e-12);
  assert.deepEqual(momentsOf(values.slice(0, 10)).estimate(), { mean: 4.5, error: 0 });
  assert.deepEqual(momentsOf([]).estimate(), { mean: 0, error: 0 });
});

test("percentiles lie between the values next to them", () => {
  const sorted = Float32Array.of(1, 2, 4, 8);
  assert.equal(percentile(sorted, 0), 1);
  assert.equal(percentile(sorted, 0.5), 3);
  assert.equal(percentile(sorted, 0.75), 5);
  assert.equal(percentile(sorted, 1), 8);
  assert.equal(percentile(Float32Array.of(3), 0.9), 3);
});

test("the second half of a chunk is scored", () => {
  assert.deepEqual([firstScored(512), scoredPerChunk(512)], [256, 255]);
  assert.deepEqual([firstScored(511), scoredPerChunk(511)], [255, 255]);
});

test("perplexity is the exponential of the mean, its error in proportion", () => {
  const moments = momentsOf([1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]);
  const { ppl, pplError, positions } = perplexityOf(moments);
  assert.equal(positions, 12);
  assert.ok(Math.abs(ppl - Math.exp(2)) < 1e-12);
  assert.ok(Math.abs(pplError - Math.exp(2) * Math.sqrt(2 / 3 / 11)) < 1e-12);
});
