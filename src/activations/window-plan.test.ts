/** How a run is planned for the memory that is there: the machine's, or that of graphics processors. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { tensorBytes } from "../gguf/layout.js";
import { openGguf } from "../model/gguf-model.js";
import { layerOf } from "../model/roles.js";
import type { ModelSource } from "../model/source.js";
import { fixture } from "../testing/command.js";
import { planSweep, type SweepOptions } from "./window-plan.js";

const path = fixture("tiny-moe-q8_0.gguf");
let source: ModelSource;
let layerBytes: number;

before(async () => {
  source = await openGguf(path);
  layerBytes = source.tensors
    .filter(({ name }) => layerOf(name) === 0)
    .reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
});
after(() => source.close());

function planned(roomBytes: number | undefined, options: Partial<SweepOptions> = {}) {
  return planSweep(source, path, {
    needsOutput: false,
    ...(roomBytes !== undefined && { graphics: { names: ["GPU0"], roomBytes } }),
    ...options,
  });
}

const rangesOf = ({ windows }: ReturnType<typeof planned>) =>
  windows?.ranges.map(({ from, to }) => [from, to]);

test("a model that graphics processors hold is run in one piece, however little the machine may use", () => {
  assert.equal(planned(1e9, { maxMemory: 1 }).windows, undefined);
});

test("windows are what graphics processors hold, though the machine would hold the model", () => {
  assert.equal(planned(undefined).windows, undefined);
  assert.deepEqual(rangesOf(planned(2.5 * layerBytes)), [
    [0, 2],
    [2, 4],
  ]);
  assert.deepEqual(rangesOf(planned(1.5 * layerBytes))?.length, 4);
});

test("two models are windows of half the size", () => {
  const ranges = rangesOf(planned(2.5 * layerBytes, { modelsTogether: 2, otherBytes: source.byteLength }));
  assert.equal(ranges?.length, 4);
});

test("a layer too large for graphics memory is computed by the processor, and said", () => {
  const { whole, windows, note } = planned(0.5 * layerBytes);
  assert.equal(whole.gpuLayers, 0);
  assert.ok(windows);
  assert.match(note ?? "", /a layer takes .* its layers stay in the machine's memory/);
});

test("what cannot be run in windows is placed: experts stay in the machine's memory, and it is said", () => {
  const metadata = new Map(
    [...source.metadata].map(([key, value]) => [key.replace(/^qwen3moe\./, "unknown."), value]),
  );
  metadata.set("general.architecture", { type: "string", value: "unknown" });
  const plan = planSweep({ ...source, tensors: source.tensors, metadata }, path, {
    needsOutput: false,
    graphics: { names: ["GPU0"], roomBytes: 3 * layerBytes },
  });
  assert.equal(plan.windows, undefined);
  assert.equal(plan.whole.hostExpertLayers, 2);
  assert.match(plan.note ?? "", /GPU0, and its layers cannot be run by themselves: the experts of 2 layers/);
});
