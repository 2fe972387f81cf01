import assert from "node:assert/strict";
import { test } from "node:test";
import { sizeLabel } from "./size-label.js";

test("a dense model's label is its number of weights in two digits, exact halves rounded to even", () => {
  // Pairs of llama.cpp v0.5.0's gguf-py (utility.size_label).
  const labels = [999, 1_000, 14_400_000, 596_049_920, 999_999_999, 2_250_000_000, 10_500_000_000, 1.2e12];
  assert.deepEqual(
    labels.map((count) => sizeLabel([{ name: "t", shape: [count] }])),
    ["1.0K", "1.0K", "14M", "596M", "1000M", "2.2B", "10B", "1.2T"],
  );
});

test("a mixture's label is its experts times the weights on one expert's path", () => {
  const label = sizeLabel([
    { name: "token_embd.weight", shape: [2048, 1000] },
    { name: "blk.0.ffn_up_exps.weight", shape: [2048, 768, 128] },
    { name: "blk.0.ffn_down_exps.weight", shape: [768, 2048, 128] },
  ]);
  assert.equal(label, "128x5.2M");
});
