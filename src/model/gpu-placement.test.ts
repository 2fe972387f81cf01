/** Where weights go on graphics processors with less and less room. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { tensorBytes } from "../gguf/layout.js";
import { fixture } from "../testing/command.js";
import { openGguf } from "./gguf-model.js";
import { describePlacement, placeOnGpus } from "./gpu-placement.js";
import { layerOf } from "./roles.js";
import type { ModelSource } from "./source.js";

let model: ModelSource;
let experts: number;
let others: number;

before(async () => {
  model = await openGguf(fixture("tiny-moe-q8_0.gguf"));
  const sum = (wanted: (name: string) => boolean) =>
    model.tensors
      .filter(({ name }) => wanted(name))
      .reduce((bytes, tensor) => bytes + tensorBytes(tensor), 0);
  const isExpert = (name: string) => name.includes("_exps");
  experts = sum((name) => isExpert(name) && layerOf(name) === 0);
  others = sum((name) => !isExpert(name) && (layerOf(name) !== undefined || name === "output.weight"));
  await model.close();
});

test("what fits is not placed by us", () => {
  assert.deepEqual(placeOnGpus(model, others + 4 * experts), {});
});

test("the experts of the first layers are the first to stay in the machine's memory", () => {
  assert.deepEqual(placeOnGpus(model, others + 4 * experts - 1), { hostExpertLayers: 1 });
  assert.deepEqual(placeOnGpus(model, others + experts), { hostExpertLayers: 3 });
  assert.deepEqual(placeOnGpus(model, others), { hostExpertLayers: 4 });
});

test("with less room the last layers are there without experts, and with none none", () => {
  const placed = placeOnGpus(model, others - 1);
  assert.deepEqual(placed, { gpuLayers: 4, hostExpertLayers: 4 });
  assert.deepEqual(placeOnGpus(model, 0), { gpuLayers: 0, hostExpertLayers: 4 });
  assert.equal(
    describePlacement(placed),
    "all but the last 4, and all experts, stay in the machine's memory",
  );
});
