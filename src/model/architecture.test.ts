import assert from "node:assert/strict";
import { test } from "node:test";
import { MalformedInputError } from "../errors.js";
import type { MetadataValue } from "../gguf/metadata.js";
import { plainMetadata } from "../testing/gguf-file.js";
import { referenceMetadata } from "../testing/reference-geometry.js";
import { Architecture } from "./architecture.js";

test("the reference case's facts are read", () => {
  const facts = new Architecture(referenceMetadata());
  assert.equal(facts.name, "qwen3moe");
  assert.equal(facts.layers, 48);
  assert.equal(facts.nextnLayers, 0);
  assert.equal(facts.experts, 128);
  assert.equal(facts.expertsUsed, 8);
  assert.equal(facts.sharedExperts, 0);
  assert.equal(facts.embeddingLength, 2048);
  assert.equal(facts.expertFeedForwardLength(), 768);
  assert.equal(facts.heads(), 32);
  assert.equal(facts.keyValueHeads(), 4);
  assert.equal(facts.headsPerKeyValueHead(), 8);
  assert.equal(facts.keyLength, 128);
  assert.equal(facts.valueLength, 128);
  assert.equal(facts.vocabularySize, 151936);
  assert.equal(facts.contextLength, 262144);
});

test("what a file leaves out has llama.cpp's defaults", () => {
  const facts = new Architecture(
    plainMetadata({
      "general.architecture": "llama",
      "llama.embedding_length": 100,
      "llama.attention.head_count": 3,
      "llama.feed_forward_length": 300,
      "tokenizer.ggml.tokens": ["a", "b"],
    }),
  );
  assert.equal(facts.experts, 0);
  assert.equal(facts.expertsUsed, 0);
  assert.equal(facts.keyValueHeads(), 3);
  assert.equal(facts.keyLength, 33);
  assert.equal(facts.expertFeedForwardLength(), 300);
  assert.equal(facts.vocabularySize, 2);
});

test("heads may differ by layer, and layers without attention share no heads", () => {
  const facts = new Architecture(
    plainMetadata({
      "general.architecture": "a",
      "a.attention.head_count": [8, 8, 4],
      "a.attention.head_count_kv": [2, 0, 4],
    }),
  );
  assert.deepEqual(
    [0, 1, 2].map((layer) => facts.headsPerKeyValueHead(layer)),
    [4, 0, 1],
  );
  assert.throws(() => facts.heads(3), /"a.attention.head_count" has no number for layer 3/);
  assert.equal(new Architecture(plainMetadata({ "general.architecture": "a" })).headsPerKeyValueHead(), 0);
});

test("a missing fact is an error only when it is asked for, and names its key", () => {
  const facts = new Architecture(plainMetadata({ "general.architecture": "qwen3moe" }));
  assert.throws(
    () => facts.layers,
    new MalformedInputError(
      'metadata key "qwen3moe.block_count" (the number of layers) is missing; add it with `overrideKv` or use another file.',
      { key: "qwen3moe.block_count" },
    ),
  );
  assert.throws(() => facts.heads(), /qwen3moe.attention.head_count/);
  assert.throws(() => facts.vocabularySize, /qwen3moe.vocab_size/);
  assert.throws(() => new Architecture(new Map()).name, /general.architecture/);
});

test("facts that no model has are refused where they are read, for one layer as for all", () => {
  const absurd: readonly [key: string, value: number | number[], read: (facts: Architecture) => unknown][] = [
    ["block_count", 1e9, (facts) => facts.layers],
    ["nextn_predict_layers", 1e9, (facts) => facts.nextnLayers],
    ["leading_dense_block_count", 1e9, (facts) => facts.leadingDenseLayers],
    ["context_length", 2e9, (facts) => facts.contextLength],
    ["expert_count", 1e9, (facts) => facts.experts],
    ["expert_shared_count", 1e9, (facts) => facts.sharedExperts],
    ["embedding_length", 1e9, (facts) => facts.embeddingLength],
    ["feed_forward_length", 1e9, (facts) => facts.feedForwardLength()],
    ["feed_forward_length", [1, 1e9], (facts) => facts.feedForwardLength(1)],
    ["expert_feed_forward_length", [1e9], (facts) => facts.expertFeedForwardLength()],
    ["attention.head_count", 1e9, (facts) => facts.heads()],
    ["attention.head_count_kv", [1, 1e9], (facts) => facts.keyValueHeads(1)],
    ["attention.key_length", 1e9, (facts) => facts.keyLength],
    ["attention.value_length", 1e9, (facts) => facts.valueLength],
    ["vocab_size", 1e9, (facts) => facts.vocabularySize],
    ["attention.sliding_window", Number.NaN, (facts) => facts.number("attention.sliding_window")],
  ];
  for (const [key, value, read] of absurd) {
    const type = Number.isNaN(value) ? ("float32" as const) : ("uint32" as const);
    const facts = new Architecture(
      new Map<string, MetadataValue>([
        ["general.architecture", { type: "string", value: "llama" }],
        [`llama.${key}`, Array.isArray(value) ? { type: "array", itemType: type, value } : { type, value }],
      ]),
    );
    assert.throws(
      () => read(facts),
      (error: Error) => error instanceof MalformedInputError && error.message.includes(`"llama.${key}" is `),
      key,
    );
  }
});
