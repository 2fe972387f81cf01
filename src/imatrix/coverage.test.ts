import assert from "node:assert/strict";
import { test } from "node:test";
import { coverageWarning, expertCoverage, meaningOf, tokensPerDimension } from "./coverage.js";
import type { Imatrix } from "./imatrix.js";

function imatrixOf(counts: Record<string, number[]>, columns = 1): Imatrix {
  const entries = Object.entries(counts).map(
    ([name, list]) =>
      [name, { sums: new Float32Array(columns * list.length), counts: Float64Array.from(list) }] as const,
  );
  return {
    name: "x",
    format: "gguf",
    entries: new Map(entries),
    datasets: [],
    chunkCount: 10,
    chunkSize: 512,
    priorWeight: undefined,
  };
}

test("coverage lists the tensors with experts by layer", () => {
  const coverage = expertCoverage(
    imatrixOf({ "blk.10.e": [3, 0, 9], "blk.2.e": [1, 2], "blk.2.dense": [512] }, 2),
  );
  const [thinner, thicker] = [
    { fewest: 1, most: 2, fewestPerDimension: 0.5, medianPerDimension: 1 },
    { fewest: 0, most: 9, fewestPerDimension: 0, medianPerDimension: 1.5 },
  ];
  assert.deepEqual(coverage, [
    { tensor: "blk.2.e", experts: 2, columns: 2, unseen: 0, ...thinner, tokens: [1, 2] },
    { tensor: "blk.10.e", experts: 3, columns: 2, unseen: 1, ...thicker, tokens: [3, 0, 9] },
  ]);
});

test("tokens per dimension are those of gate and up, and say what they mean", () => {
  const tensors = { "blk.0.ffn_up_exps.weight": [4, 12, 20], "blk.0.ffn_down_exps.weight": [1, 1, 1] };
  const found = tokensPerDimension(expertCoverage(imatrixOf(tensors, 4)));
  assert.deepEqual(found, { fewest: 1, median: 3 });
  assert.equal(tokensPerDimension([]), undefined);
  const words = [0, 1.99, 2, 7.9, 8, 1000].map((value) => meaningOf(value).split(" ")[0]);
  assert.deepEqual(words, ["few", "few", "some", "some", "enough", "enough"]);
});

test("thin experts give a warning with the number of chunks that would do", () => {
  assert.equal(coverageWarning(imatrixOf({ e: [128, 4000] })), undefined);
  const thin = coverageWarning(imatrixOf({ e: [32, 4000] })) ?? "";
  assert.match(thin, /^1 of 2 experts saw fewer than 128 tokens \(fewest in e: 32\)\./);
  assert.match(thin, /about 40 chunks of such text \(now 10\)/);
  const unseen = coverageWarning(imatrixOf({ e: [0, 4000], f: [5, 5] })) ?? "";
  assert.match(unseen, /^3 of 4 experts saw fewer than 128 tokens, 1 of them none \(fewest in e: 0\)\./);
  assert.match(unseen, /text of more kinds/);
});
