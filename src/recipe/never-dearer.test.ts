import assert from "node:assert/strict";
import { test } from "node:test";
import type { TypeName } from "../quants/types.js";
import { plainMetadata } from "../testing/gguf-file.js";
import type { TypeOverrides } from "./overrides.js";
import { loadRecipe } from "./presets.js";
import { planTypes, type TensorToPlan } from "./type-plan.js";

const experts: TensorToPlan = { name: "blk.0.ffn_up_exps.weight", shape: [320, 320, 8], type: "MXFP4" };
const rest: readonly TensorToPlan[] = [
  { name: "blk.0.ffn_down_exps.weight", shape: [256, 256, 8], type: "F16" },
  { name: "blk.1.ffn_gate_exps.weight", shape: [256, 256, 8], type: "F16" },
  { name: "blk.1.nextn.eh_proj.weight", shape: [512, 256], type: "F16" },
  { name: "token_embd.weight", shape: [256, 2048], type: "F16" },
];

async function typesOf(first: TensorToPlan, overrides: TypeOverrides = {}): Promise<Map<string, TypeName>> {
  const { tensors } = planTypes({
    tensors: [first, ...rest],
    metadata: plainMetadata({
      "general.architecture": "qwen3moe",
      "qwen3moe.block_count": 2,
      "qwen3moe.embedding_length": 256,
      "qwen3moe.attention.head_count": 4,
    }),
    recipe: await loadRecipe("asym-2bit-experts"),
    overrides,
    hasImportance: (name) => name.startsWith("blk.0."),
  });
  return new Map(tensors.map(({ name, to }) => [name, to]));
}

test("low-bit experts are copied, and never become a larger replacement", async () => {
  assert.equal((await typesOf(experts)).get(experts.name), "MXFP4");
  assert.equal((await typesOf(experts, { allowRequantize: true })).get(experts.name), "MXFP4");
  const fitting = { ...experts, shape: [256, 256, 8] };
  assert.equal((await typesOf(fitting)).get(experts.name), "MXFP4");
  assert.equal((await typesOf(fitting, { allowRequantize: true })).get(experts.name), "IQ2_S");
  // Others may be quantized again, these are copied: what `make` does with sources of eight bits.
  const copied = { allowRequantize: true, copyLowBit: true };
  assert.equal((await typesOf(fitting, copied)).get(experts.name), "MXFP4");
  assert.equal((await typesOf(fitting, copied)).get("blk.0.ffn_down_exps.weight"), "IQ3_S");
});

test("layers of multi-token prediction get types that they can have without importance", async () => {
  const types = await typesOf(experts);
  assert.equal(types.get("blk.0.ffn_down_exps.weight"), "IQ3_S");
  assert.equal(types.get("blk.1.ffn_gate_exps.weight"), "Q4_K");
  assert.equal(types.get("blk.1.nextn.eh_proj.weight"), "Q6_K");
});
