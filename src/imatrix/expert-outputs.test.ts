import assert from "node:assert/strict";
import { test } from "node:test";
import type { NativeTensor } from "../engine/tensor.js";
import { ExpertOutputs } from "./expert-outputs.js";

type Four = [number, number, number, number];

interface Fake {
  readonly name?: string;
  readonly operation?: string;
  readonly address?: number;
  readonly shape: Four;
  readonly values?: readonly number[];
  readonly sources?: readonly Fake[];
}

/** A tensor without native memory. */
function tensor({ name = "x", operation = "NONE", address = 0, shape, values = [], sources = [] }: Fake) {
  const fake = {
    name,
    operation,
    address,
    shape,
    strides: [1, shape[0], shape[0] * shape[1], shape[0] * shape[1] * shape[2]].map((stride) => 4 * stride),
    float32: () => Float32Array.from(values),
    int32: () => Int32Array.from(values),
    source: (index: number) => sources[index] && tensor(sources[index]),
  };
  return fake as unknown as NativeTensor;
}

/** Two tokens that each take two of three experts. */
const down: Fake = {
  operation: "MUL_MAT_ID",
  address: 1,
  shape: [2, 2, 2, 1],
  values: [3, 4, 6, 8, 0, 1, 5, 12],
  sources: [
    { name: "blk.1.ffn_down_exps.weight", shape: [4, 2, 3, 1] },
    { shape: [4, 2, 2, 1] },
    { shape: [2, 2, 1, 1], values: [0, 2, 2, 0] },
  ],
};

function times(before: Fake, address: number, values: readonly number[]): Fake {
  const factor: Fake = { shape: [1, 2, 2, 1], values };
  return { operation: "MUL", address, shape: before.shape, sources: [before, factor] };
}

function sumsOf(nodes: readonly Fake[], outputs = new ExpertOutputs()) {
  for (const node of nodes.map(tensor)) {
    if (outputs.wants(node)) {
      outputs.observe(node);
    }
  }
  return Object.fromEntries([...outputs.take()].map(([name, sums]) => [name, [...sums]]));
}

test("norms of outputs, times the scales and weights that follow, go to the experts that were chosen", () => {
  const scaled = times(down, 2, [2, 1, 1, 1]);
  const weighted = times(scaled, 3, [0.5, 0.25, -1, 2]);
  const ofOthers = times({ ...down, address: 9 }, 10, [100, 100, 100, 100]);
  assert.deepEqual(sumsOf([down, scaled, ofOthers, weighted]), {
    "blk.1.ffn_down_exps.weight": [5 * 2 * 0.5 + 13 * 2, 0, 10 * 0.25 + 1],
  });
});

test("biases count; weights that came before the experts are in their outputs already", () => {
  const biased: Fake = {
    operation: "ADD_ID",
    address: 2,
    shape: down.shape,
    values: [0, 2, 0, 3, 0, 4, 0, 5],
    sources: [down],
  };
  assert.deepEqual(sumsOf([down, biased]), { "blk.1.ffn_down_exps.weight": [7, 0, 7] });
});

test("in windows sums go under the layer's own number, and begin anew when they were taken", () => {
  const outputs = new ExpertOutputs();
  outputs.firstLayer = 4;
  const once = sumsOf([down], outputs)["blk.5.ffn_down_exps.weight"]!;
  assert.deepEqual(sumsOf([down, down], outputs), {
    "blk.5.ffn_down_exps.weight": once.map((sum) => 2 * sum),
  });
});

test("gate and up are not looked at", () => {
  const up = { ...down, sources: [{ name: "blk.1.ffn_up_exps.weight", shape: [2, 4, 3, 1] as Four }] };
  assert.deepEqual(sumsOf([up]), {});
});
