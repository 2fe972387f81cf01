import assert from "node:assert/strict";
import { test } from "node:test";
import { type PlainValue, plainMetadata } from "../testing/gguf-file.js";
import { windowStarts } from "./window-facts.js";

function startsOf(architecture: string, keys: Readonly<Record<string, PlainValue>>) {
  const entries = Object.entries(keys).map(([key, value]) => [`${architecture}.${key}`, value]);
  return windowStarts(
    plainMetadata({ "general.architecture": architecture, ...Object.fromEntries(entries) }),
  );
}

test("layers that are alike can be cut anywhere, those that predict further tokens are not run", () => {
  assert.deepEqual(startsOf("qwen3moe", { block_count: 3 }), [0, 1, 2]);
  assert.deepEqual(startsOf("bailingmoe2", { block_count: 4, nextn_predict_layers: 1 }), [0, 1, 2]);
});

test("where a layer's kind follows from its number, windows begin at multiples of the period", () => {
  assert.deepEqual(startsOf("gpt-oss", { block_count: 6 }), [0, 2, 4]);
  assert.deepEqual(startsOf("qwen3next", { block_count: 9 }), [0, 4, 8]);
  assert.deepEqual(startsOf("qwen3next", { block_count: 9, full_attention_interval: 3 }), [0, 3, 6]);
});

test("every window has layers of each kind", () => {
  const hybrid = { block_count: 8, "attention.head_count_kv": [0, 0, 2, 0, 0, 0, 2, 0] };
  assert.deepEqual(startsOf("jamba", hybrid), [0, 3]);
  const pattern = { block_count: 6, "attention.sliding_window_pattern": [1, 0, 1, 0, 1, 1] };
  assert.deepEqual(startsOf("mimo2", pattern), [0, 2]);
});

test("unknown architectures, unknown arrays and models that pass more than the stream are not cut", () => {
  assert.equal(startsOf("unheard-of", { block_count: 4 }), undefined);
  assert.equal(startsOf("qwen3moe", { block_count: 4, "some.new_key": [1, 2, 3, 4] }), undefined);
  assert.equal(startsOf("gemma4", { block_count: 4, "attention.shared_kv_layers": 2 }), undefined);
  assert.deepEqual(startsOf("qwen35moe", { block_count: 4, "rope.dimension_sections": [4, 2, 2, 0] }), [0]);
});
