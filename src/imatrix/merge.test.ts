import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../errors.js";
import type { Imatrix, ImatrixEntry, ImatrixFormat } from "./imatrix.js";
import { mergeImatrices } from "./merge.js";

function imatrixOf(
  name: string,
  entries: Record<string, ImatrixEntry>,
  format: ImatrixFormat = "gguf",
): Imatrix {
  return {
    name,
    format,
    entries: new Map(Object.entries(entries)),
    datasets: [`${name}.txt`],
    chunkCount: 1,
    chunkSize: format === "gguf" ? 4 : 0,
    priorWeight: undefined,
  };
}

function entry(sums: number[], counts: number[]): ImatrixEntry {
  return { sums: Float32Array.from(sums), counts: Float64Array.from(counts) };
}

test("sums, counts and datasets add up; entries of one file only are kept", () => {
  const merged = mergeImatrices([
    imatrixOf("a", { w: entry([1, 2, 3, 4], [4, 8]), only: entry([1], [1]) }),
    imatrixOf("b", { w: entry([10, 20, 30, 40], [1, 2]) }),
  ]);
  assert.deepEqual(merged.entries.get("w"), entry([11, 22, 33, 44], [5, 10]));
  assert.deepEqual(merged.entries.get("only"), entry([1], [1]));
  assert.deepEqual(merged.datasets, ["a.txt", "b.txt"]);
  assert.deepEqual([merged.chunkCount, merged.chunkSize], [2, 4]);
});

test("an entry with a single count takes the experts of the other, whichever comes first", () => {
  const one = imatrixOf("one", { w: entry([1, 1], [3]) });
  const two = imatrixOf("two", { w: entry([1, 1], [5, 7]) });
  assert.deepEqual([...mergeImatrices([one, two]).entries.get("w")!.counts], [8, 10]);
  assert.deepEqual([...mergeImatrices([two, one]).entries.get("w")!.counts], [8, 10]);
});

test("calls and means of a .dat file become tokens and sums by the chunk size", () => {
  const dat = imatrixOf("d", { w: entry([6, 2], [2]) }, "dat");
  const merged = mergeImatrices([dat], 512);
  assert.deepEqual(merged.entries.get("w"), entry([6 * 512, 2 * 512], [1024]));
  assert.equal(merged.chunkCount, 2);
});

test("the files given stay as they are", () => {
  const first = imatrixOf("a", { w: entry([1], [1]) });
  mergeImatrices([first, first]);
  assert.deepEqual(first.entries.get("w"), entry([1], [1]));
});

test("files of different models are refused", () => {
  const a = imatrixOf("a", { w: entry([1, 2], [1, 1]) });
  assert.throws(() => mergeImatrices([a, imatrixOf("b", { w: entry([1, 2, 3], [1, 1, 1]) })]), {
    name: "UsageError",
    message:
      'b: entry "w" has 3 values in 3 matrices, the files before it have 2 values in 2 matrices. They are of different models and cannot be merged.',
  });
});

test("only .dat files need the chunk size from the caller", () => {
  const dat = imatrixOf("d", { w: entry([6, 2], [2]) }, "dat");
  assert.throws(() => mergeImatrices([dat]), UsageError);
  assert.equal(mergeImatrices([dat, imatrixOf("g", { v: entry([1], [1]) })]).chunkSize, 4);
});
