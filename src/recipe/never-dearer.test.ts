import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { Engine } from "../engine/engine.js";
import { openModel } from "../model/open.js";
import { bitsPerWeight, type TypeName } from "../quants/types.js";
import { writeTinyModel } from "../testing/architectures/write.js";
import { plainMetadata } from "../testing/gguf-file.js";
import { temporaryFolder } from "../testing/temporary.js";
import { ftypes } from "./ftypes.js";
import type { TypeOverrides } from "./overrides.js";
import { loadRecipe, presetNames } from "./presets.js";
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

test("gpt-oss with rows of 320 is never larger than its source, nor of another type of the same size", async (t) => {
  const engine = new Engine();
  t.after(() => engine.close());
  const path = join(await temporaryFolder(t), "gpt-oss.gguf");
  await writeTinyModel(engine, "gpt-oss-odd", path);
  const { tensors, metadata, close } = await openModel(path);
  t.after(close);
  assert.ok(tensors.some(({ type, shape }) => type === "MXFP4" && (shape[0] ?? 0) % 256 !== 0));
  // Refused: rows of 320 fill no blocks of Q1_0, and nothing stands in for it; Q2_0 cannot be encoded.
  const possible = ftypes.filter((ftype) => ftype !== "Q1_0" && ftype !== "Q2_0");
  for (const name of [...(await presetNames()), ...possible]) {
    for (const allowRequantize of [false, true]) {
      const recipe = await loadRecipe(name);
      const overrides = { allowRequantize };
      const planned = planTypes({ tensors, metadata, recipe, overrides, hasImportance: () => true });
      // Four bits are what such experts were trained with: fewer only where that was asked for.
      for (const { name: tensor, from, to } of planned.tensors.filter(({ from }) => from === "MXFP4")) {
        const isLower = allowRequantize && bitsPerWeight(to) < bitsPerWeight(from);
        assert.ok(to === from || isLower, `${name}: ${tensor} of ${from} becomes ${to}`);
      }
    }
  }
});
