/**
 * What is computed from logits outside the SIMD reductions (`../reduce/reducer.ts`): comparisons with rows that
 * are stored as codes. These loops run over positions x vocabulary values, 39 million in a chunk of Qwen3, so the
 * exponential is our own: Math.exp takes three times as long as everything else together.
 */
import { loadReducer } from "../reduce/load.js";
import type { RowComparison, RowScore } from "../reduce/reducer.js";

const stepsPerOctave = 16;
const lowestStep = -4000;
const stepsPerNat = stepsPerOctave * Math.LOG2E;
const natsPerStep = Math.LN2 / stepsPerOctave;
/** 2^(k / 16) for k from -4000 to 0. */
const powers = Float64Array.from(
  { length: 1 - lowestStep },
  (_, i) => 2 ** ((i + lowestStep) / stepsPerOctave),
);
/**
 * exp(x) for x <= 0, with a relative error below 1e-10: a table of sixteenth powers of two and four terms of
 * the series. Everything below -173 gives 6e-76.
 */
export function expOfNegative(x: number): number {
  const scaled = x * stepsPerNat;
  const steps = Math.max(scaled, lowestStep);
  const step = (steps - 0.5) | 0;
  const rest = (steps - step) * natsPerStep;
  return (
    (powers[step - lowestStep] as number) *
    (1 + rest * (1 + rest * (1 / 2 + rest * (1 / 6 + rest * (1 / 24)))))
  );
}

/** Position of the largest value, the first of equals. */
export function indexOfMax(values: Float32Array | Uint16Array): number {
  let top = 0;
  let max = values[0] as number;
  for (let i = 1; i < values.length; i++) {
    const value = values[i] as number;
    if (value > max) {
      max = value;
      top = i;
    }
  }
  return top;
}

/** Top token and normalization of a row. */
export function scoreRow(logits: Float32Array): RowScore {
  return loadReducer().scoreRow(logits);
}

/** Compares a row with the reference model's row for the same position, over the whole vocabulary, without clamping. */
export function compareRows(referenceLogits: Float32Array, logits: Float32Array): RowComparison {
  return loadReducer().compareRows(referenceLogits, logits);
}
