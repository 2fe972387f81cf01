import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openGguf } from "../model/gguf-model.js";
import { roleOf } from "../model/roles.js";
import { rowCount, weightCount } from "../model/source.js";
import { rowBytes, type TypeName } from "../quants/types.js";
import { referenceMetadata, referenceTensors } from "../testing/reference-geometry.js";
import { loadRecipe } from "./presets.js";
import { planTypes, type TensorDecision } from "./type-plan.js";

const fixture = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../fixtures/reference/${name}`, import.meta.url), "utf8"));

function bytesOf(tensors: readonly TensorDecision[]): number {
  return tensors.reduce((sum, { shape, to }) => sum + rowCount(shape) * rowBytes(to, shape[0]!), 0);
}

test("asym-2bit-experts on Qwen3-Coder-30B-A3B has the reference case's groups and size", async () => {
  const plan = planTypes({
    tensors: referenceTensors(),
    metadata: referenceMetadata(),
    recipe: await loadRecipe("asym-2bit-experts"),
    overrides: { allowRequantize: true },
    hasImportance: () => true,
  });
  const count = (group: string, type: TypeName) =>
    plan.tensors.filter(({ role, to }) => (role === group || role.startsWith(`${group}.`)) && to === type)
      .length;
  assert.deepEqual(
    [
      count("routed.gate", "IQ2_S"),
      count("routed.up", "IQ2_S"),
      count("routed.down", "IQ3_S"),
      count("attention", "Q4_K"),
      count("embedding", "Q6_K"),
      count("output", "Q6_K"),
    ],
    [48, 48, 48, 192, 1, 1],
  );
  const weights = plan.tensors.reduce((sum, { shape }) => sum + weightCount(shape), 0);
  const bytes = bytesOf(plan.tensors);
  assert.equal(plan.tensors.length, 579);
  assert.equal(bytes, 11_414_441_984);
  assert.equal(((8 * bytes) / weights).toFixed(2), "2.99");
  assert.deepEqual(plan.warnings, []);
  assert.equal(plan.fileType, 28, "most weights are IQ2_S");
});

const tiny = await openGguf(fileURLToPath(new URL("../../fixtures/tiny-moe-q8_0.gguf", import.meta.url)));
after(() => tiny.close());
const expected = fixture("types.json") as Record<string, Record<string, TypeName>>;

for (const [name, types] of Object.entries(expected)) {
  test(`the tiny model as ${name} has the types that llama-quantize chose`, async () => {
    const { tensors } = planTypes({
      tensors: tiny.tensors,
      metadata: tiny.metadata,
      recipe: await loadRecipe(name === "asym" ? "asym-2bit-experts" : name),
      overrides: { allowRequantize: true },
      hasImportance: () => true,
    });
    assert.deepEqual(Object.fromEntries(tensors.map((tensor) => [tensor.name, tensor.to])), types);
  });
}

test("roles of the tiny model's tensors are all known", () => {
  assert.deepEqual(
    tiny.tensors.filter(({ name }) => roleOf(name) === "other"),
    [],
  );
});
