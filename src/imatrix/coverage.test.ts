import assert from "node:assert/strict";
import { test } from "node:test";
import { coverageWarning, expertCoverage } from "./coverage.js";
import type { Imatrix } from "./imatrix.js";

function imatrixOf(counts: Record<string, number[]>): Imatrix {
  const entries = Object.entries(counts).map(
    ([name, list]) =>
      [name, { sums: new Float32Array(list.length), counts: Float64Array.from(list) }] as const,
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
    imatrixOf({ "blk.10.e": [3, 0, 9], "blk.2.e": [1, 2], "blk.2.dense": [512] }),
  );
  assert.deepEqual(coverage, [
    { tensor: "blk.2.e", experts: 2, unseen: 0, fewest: 1, most: 2, tokens: [1, 2] },
    { tensor: "blk.10.e", experts: 3, unseen: 1, fewest: 0, most: 9, tokens: [3, 0, 9] },
  ]);
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
