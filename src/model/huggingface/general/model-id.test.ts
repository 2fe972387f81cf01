import assert from "node:assert/strict";
import { test } from "node:test";
import { type ModelId, parseModelId, titleOf } from "./model-id.js";

/** What llama.cpp v0.5.0's gguf-py (Metadata.get_model_id_components) makes of these names. */
const known: readonly [id: string, parameters: number, parts: ModelId][] = [
  [
    "Qwen/Qwen3-Coder-30B-A3B-Instruct",
    30_532_122_624,
    {
      name: "Qwen3-Coder-30B-A3B-Instruct",
      organization: "Qwen",
      basename: "Qwen3-Coder",
      finetune: "Instruct",
      sizeLabel: "30B-A3B",
    },
  ],
  [
    "Mixtral-8x7B-Instruct-v0.1",
    46_702_792_704,
    {
      name: "Mixtral-8x7B-Instruct-v0.1",
      basename: "Mixtral",
      finetune: "Instruct",
      version: "v0.1",
      sizeLabel: "8x7B",
    },
  ],
  [
    "phi-3-mini-128k-instruct",
    3_821_079_552,
    {
      name: "phi-3-mini-128k-instruct",
      basename: "phi-3",
      finetune: "128k-instruct",
      sizeLabel: "mini",
    },
  ],
  ["bloom-7b1", 7_069_016_064, { name: "bloom-7b1", basename: "bloom", sizeLabel: "7.1B" }],
  [
    "OLMoE-1B-7B-0924",
    6_919_161_856,
    { name: "OLMoE-1B-7B-0924", basename: "OLMoE", version: "0924", sizeLabel: "1B-7B" },
  ],
  ["tiny-moe", 14_400_000, { name: "tiny-moe" }],
  ["./tiny_moe-7B", 0, { name: "tiny_moe-7B", basename: "tiny_moe", sizeLabel: "7B" }],
  ["A plain name", 0, { name: "A plain name" }],
  ["", 0, {}],
];

for (const [id, parameters, parts] of known) {
  test(`"${id}" is taken apart as llama.cpp does`, () => {
    assert.deepEqual(parseModelId(id, parameters), parts);
  });
}

test("a name becomes a title but keeps versions, numbers and words with capitals", () => {
  assert.equal(titleOf("qwen3-coder-30b-a3b-v1.5-DPO"), "Qwen3 Coder 30b A3B v1.5 DPO");
});
