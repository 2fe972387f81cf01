import assert from "node:assert/strict";
import { test } from "node:test";
import type { Metadata } from "../gguf/metadata.js";
import { checkOverrides, parseOverrides } from "./output-metadata.js";

const source: Metadata = new Map([
  ["qwen3moe.expert_count", { type: "uint32", value: 16 }],
  ["qwen3moe.attention.head_count_kv", { type: "array", itemType: "uint32", value: [1, 2] }],
  ["general.custom", { type: "bool", value: true }],
]);

test("a number that a float32 has no room for is refused", () => {
  for (const number of ["1e39", "-1e999", "NaN", "Infinity", "", "x"]) {
    assert.throws(() => parseOverrides([`own.key=float:${number}`]), {
      name: "UsageError",
      message: `\`overrideKv\` own.key=float:${number}: the value must be a number that float32 has room for.`,
    });
  }
  assert.deepEqual(parseOverrides(["own.key=float:3e38"]).get("own.key"), { type: "float32", value: 3e38 });
});

test("an override of a type that llama.cpp will not read for its key is refused", () => {
  for (const given of [
    "qwen3moe.expert_count=str:16",
    "qwen3moe.expert_count=float:16",
    "general.custom=int:1",
    "general.name=int:7",
    "qwen3moe.rope.freq_base=int:10000",
    "tokenizer.ggml.eos_token_id=str:2",
    "tokenizer.ggml.add_bos_token=int:1",
  ]) {
    assert.throws(() => checkOverrides(parseOverrides([given]), source), {
      name: "UsageError",
      message:
        /^--override-kv \S+: llama\.cpp reads it as \w+, and would refuse a file in which it is \w+; give it as \w+\.$/,
    });
  }
  checkOverrides(
    parseOverrides([
      "qwen3moe.expert_count=int:8",
      "qwen3moe.attention.head_count_kv=int:2",
      "general.custom=bool:false",
      "general.name=str:a name",
      "qwen3moe.rope.freq_base=float:1e6",
      "own.key=str:anything",
    ]),
    source,
  );
});
