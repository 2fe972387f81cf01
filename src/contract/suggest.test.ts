import assert from "node:assert/strict";
import { test } from "node:test";
import { tensorNames } from "../recipe/tensor-list.js";
import { abbreviate, editDistance, nearest, suggestion } from "./suggest.js";

test("the edit distance counts insertions, deletions, substitutions and swaps", () => {
  assert.equal(editDistance("", ""), 0);
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(editDistance("kitten", "sitting"), 3);
  assert.equal(editDistance("ffn_dwon", "ffn_down"), 1);
});

test("mistyped and abbreviated words find the word that was meant", () => {
  const words = ["routed.gate", "routed.up", "attention", "embedding", "norm"];
  assert.equal(nearest("routed.gat", words)[0], "routed.gate");
  assert.equal(nearest("attn", words)[0], "attention");
  assert.equal(nearest("embed", words)[0], "embedding");
  assert.deepEqual(nearest("zzzz", words), []);
  assert.deepEqual(nearest("x".repeat(10_000), words), []);
});

test("without a near word all are listed", () => {
  assert.equal(suggestion("zzzz", ["alpha", "beta"]), "; use one of alpha, beta.");
  assert.equal(suggestion("alpa", ["alpha", "beta"]), '; did you mean "alpha"?');
});

test("long lists end in a count", () => {
  assert.equal(abbreviate(["a", "b", "c"], 2), "a, b, c");
  assert.equal(abbreviate(["a", "b", "c", "d"], 2), "a, b and 2 more");
});

test("a tensor of many layers is listed once with its layers", () => {
  assert.equal(
    tensorNames(["output.weight", ...[0, 1, 2, 10, 11, 5].map((layer) => `blk.${layer}.attn_v.weight`)]),
    "output.weight, blk.0-2,5,10-11.attn_v.weight",
  );
});
