import assert from "node:assert/strict";
import { test } from "node:test";
import { uniform } from "../testing/random.js";
import { mergeSketches, mostHashes, shareInSketch, sketchOf } from "./text-sketch.js";

function randomTokens(count: number, seed: number): Int32Array {
  const next = uniform(seed);
  return Int32Array.from({ length: count }, () => Math.floor(1000 * next()));
}

function shareOf(tokens: Int32Array, sketch: Uint32Array, context = 512): number | undefined {
  const chunks = Math.floor(tokens.length / context);
  const scored = new Uint8Array(tokens.length).fill(1);
  return shareInSketch(sketch, { tokens, context, chunks }, scored, { first: 0, end: chunks });
}

test("the share of a text that a sketched text has is found, wherever it stands there", () => {
  const calibration = randomTokens(400_000, 1);
  const sketch = sketchOf(calibration);
  assert.equal(sketch.length, mostHashes);
  const other = randomTokens(20_480, 2);
  assert.equal(shareOf(other, sketch), 0);
  assert.equal(shareOf(calibration.slice(123_457, 123_457 + 20_480), sketch), 1);
  const half = other.slice();
  half.set(calibration.subarray(333, 333 + 10_240), 5120);
  const share = shareOf(half, sketch)!;
  assert.ok(share > 0.4 && share < 0.6, `${share}`);
});

test("only what is scored counts", () => {
  const tokens = randomTokens(1024, 3);
  const scored = new Uint8Array(1024).fill(1, 512);
  const whole = { tokens, context: 1024, chunks: 1 };
  const first = sketchOf(tokens.subarray(0, 512));
  const second = sketchOf(tokens.subarray(512));
  assert.equal(shareInSketch(first, whole, scored, { first: 0, end: 1 }), 0);
  assert.ok(shareInSketch(second, whole, scored, { first: 0, end: 1 })! > 0.9);
});

test("sketches of parts make that of the whole, and short texts are not judged", () => {
  const [a, b] = [randomTokens(30_000, 4), randomTokens(30_000, 5)];
  const merged = mergeSketches([sketchOf(a), sketchOf(b)]);
  assert.equal(merged.length, mostHashes);
  assert.deepEqual([shareOf(a, merged), shareOf(b, merged)], [1, 1]);
  assert.equal(shareOf(a.slice(0, 36), sketchOf(a), 36), undefined);
  assert.equal(shareOf(a, sketchOf(Int32Array.of(1, 2))), undefined);
});
