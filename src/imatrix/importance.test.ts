import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../errors.js";
import type { Imatrix, ImatrixEntry } from "./imatrix.js";
import { importanceOf } from "./importance.js";

const gate = "blk.0.ffn_gate_exps.weight";

function imatrixOf(entries: Record<string, ImatrixEntry>, rest: Partial<Imatrix> = {}): Imatrix {
  return {
    name: "x.gguf",
    format: "gguf",
    entries: new Map(Object.entries(entries)),
    datasets: [],
    chunkCount: 1,
    chunkSize: 8,
    priorWeight: undefined,
    ...rest,
  };
}

function entry(sums: number[], counts: number[]): ImatrixEntry {
  return { sums: Float32Array.from(sums), counts: Float64Array.from(counts) };
}

function rows(experts: readonly Float32Array[]): number[][] {
  return experts.map((row) => [...row]);
}

test("without prior an expert gets sum by count, and 1 where it saw nothing", () => {
  const imatrix = imatrixOf({ [gate]: entry([2, 6, 0, 0], [4, 0]) });
  const importance = importanceOf(imatrix, gate, { columns: 2, experts: 2, priorWeight: 0 })!;
  assert.deepEqual(rows(importance.experts), [
    [0.5, 1.5],
    [1, 1],
  ]);
  assert.deepEqual(importance.unseen, [1]);
});

test("the prior adds tokens of the average expert", () => {
  const imatrix = imatrixOf({ [gate]: entry([6, 2, 2, 2, 0, 0], [3, 1, 0]) });
  const importance = importanceOf(imatrix, gate, { columns: 2, experts: 3, priorWeight: 1 })!;
  // The average expert has 8 / 4 and 4 / 4.
  assert.deepEqual(rows(importance.experts), [
    [(6 + 2) / 4, (2 + 1) / 4],
    [(2 + 2) / 2, (2 + 1) / 2],
    [2, 1],
  ]);
});

test("the file's own prior holds unless the caller names another, one token by default", () => {
  const sums = { [gate]: entry([6, 2], [1, 1]) };
  const first = (imatrix: Imatrix) => importanceOf(imatrix, gate, { columns: 1, experts: 2 })!.experts[0]![0];
  assert.equal(first(imatrixOf(sums)), (6 + 4) / 2);
  assert.equal(first(imatrixOf(sums, { priorWeight: 3 })), (6 + 12) / 4);
  assert.equal(first(imatrixOf(sums, { priorWeight: 0 })), 6);
});

test("a dense tensor has no prior, and a stack of matrices may share one count", () => {
  const imatrix = imatrixOf({ dense: entry([2, 6], [4]), stack: entry([2, 6, 4, 8], [2]) });
  assert.deepEqual(rows(importanceOf(imatrix, "dense", { columns: 2, experts: 1 })!.experts), [[0.5, 1.5]]);
  assert.deepEqual(rows(importanceOf(imatrix, "stack", { columns: 2, experts: 2 })!.experts), [
    [1, 3],
    [2, 4],
  ]);
});

test("a .dat file gives value by calls, or the value where there were none", () => {
  const imatrix = imatrixOf({ [gate]: entry([2, 6, 4, 8], [2]), none: entry([3], [0]) }, { format: "dat" });
  assert.deepEqual(rows(importanceOf(imatrix, gate, { columns: 2, experts: 2 })!.experts), [
    [1, 3],
    [2, 4],
  ]);
  assert.deepEqual(rows(importanceOf(imatrix, "none", { columns: 1, experts: 1 })!.experts), [[3]]);
});

test("gate, up and gate-up stand in for each other, of the same kind and layer only", () => {
  const imatrix = imatrixOf({ [gate]: entry([2], [1]), "blk.1.ffn_up.weight": entry([5], [1]) });
  const sourceOf = (name: string) => importanceOf(imatrix, name, { columns: 1, experts: 1 })?.entry;
  assert.equal(sourceOf("blk.0.ffn_up_exps.weight"), gate);
  assert.equal(sourceOf("blk.0.ffn_gate_up_exps.weight"), gate);
  assert.equal(sourceOf("blk.1.ffn_gate.weight"), "blk.1.ffn_up.weight");
  assert.equal(sourceOf("blk.1.ffn_up_exps.weight"), undefined);
  assert.equal(sourceOf("blk.0.ffn_up_shexp.weight"), undefined);
  assert.equal(sourceOf("blk.0.ffn_down_exps.weight"), undefined);
});

test("an imatrix of another model is refused, naming what is missing", () => {
  const imatrix = imatrixOf({ [gate]: entry([1, 2, 3], [1, 1, 1]), dense: entry([1, 2], [1]) });
  const refuse = (name: string, columns: number, experts: number, message: string) =>
    assert.throws(() => importanceOf(imatrix, name, { columns, experts }), { name: "UsageError", message });
  refuse(
    gate,
    1,
    4,
    `x.gguf: entry "${gate}" has 3 experts of 1 columns, but tensor "${gate}" has 4 experts of 1 columns (expert 3 is missing). This is the imatrix of another model; compute one from this model with "lopsided imatrix".`,
  );
  refuse(
    "dense",
    4,
    1,
    'x.gguf: entry "dense" has 2 values, but tensor "dense" has 4 columns. This is the imatrix of another model; compute one from this model with "lopsided imatrix".',
  );
  assert.throws(() => importanceOf(imatrix, gate, { columns: 3, experts: 1 }), UsageError);
  assert.throws(() => importanceOf(imatrix, gate, { columns: 1, experts: 2 }), UsageError);
});
