import assert from "node:assert/strict";
import { test } from "node:test";
import { InternalError } from "../errors.js";
import { ExpertScales } from "../quants/output-aware/expert-scales.js";
import { loadLinearAlgebra } from "../quants/output-aware/load.js";
import type { LayerTokens, NeuronBlock, StoredExpert } from "../quants/output-aware/scale-steps.js";
import { fill, gaussian } from "../testing/random.js";
import { sharedBytes, sharedFloats } from "../threads/shared.js";
import { FitTeam } from "./fit-team.js";

const module = loadLinearAlgebra();
// Two blocks of neurons, of 392 and 384; two rounds of tokens.
const [columns, width, tokens, slots] = [32, 776, 8400, 2];

function shared(length: number, seed: number): Float32Array {
  const values = sharedFloats(length);
  values.set(fill(length, gaussian(seed)));
  return values;
}

function layerOf(): LayerTokens {
  return {
    columns,
    slots,
    inputs: shared(tokens * columns, 1),
    residual: shared(tokens * columns, 2),
    factors: shared(tokens, 3),
    weights: shared(tokens * slots, 4),
  };
}

function expertOf(): StoredExpert {
  const stored = (seed: number, length: number) => {
    const bytes = sharedBytes(4 * width * columns);
    const values = fill(width * columns, gaussian(seed)).map((value) => value / Math.sqrt(length));
    bytes.set(new Uint8Array(values.buffer));
    return { type: "F32" as const, bytes };
  };
  return { width, gate: stored(5, columns), up: stored(6, columns), down: stored(7, width) };
}

const places = Uint32Array.from({ length: tokens }, (_, token) => token * slots + (token % slots));

test("factors and residual are the same to the bit for any number of threads", async () => {
  const results = [];
  for (const threads of [0, 1, 3]) {
    const team = await FitTeam.start(module, threads, () => false);
    try {
      const layer = layerOf();
      const factors = new ExpertScales(module, team).fit(layer, expertOf(), places);
      results.push({ ...factors, residual: Float32Array.from(layer.residual) });
    } finally {
      await team.close();
    }
  }
  const [alone, ...others] = results;
  assert.ok(alone?.gate.some((value) => value !== 1));
  for (const other of others) {
    assert.deepEqual(other, alone);
  }
});

test("the error of a thread reaches whoever waits for it", async () => {
  const team = await FitTeam.start(module, 1, () => false);
  try {
    team.post({ name: "decode", block: {} as NeuronBlock });
    assert.throws(() => team.wait(), InternalError);
  } finally {
    await team.close();
  }
});
