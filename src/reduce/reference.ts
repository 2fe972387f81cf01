/** The reductions in plain TypeScript: the specification of the SIMD ones, used where there is no SIMD. */
import type { Reducer, RowComparison, RowScore } from "./reducer.js";

/** See `Reducer`. */
export const referenceReducer: Reducer = { scoreRow, compareRows, addSquares };

function scoreRow(logits: Float32Array): RowScore {
  let top = 0;
  let max = logits[0] ?? Number.NaN;
  for (let index = 1; index < logits.length; index++) {
    const logit = logits[index] as number;
    if (logit > max) {
      max = logit;
      top = index;
    }
  }
  let sum = 0;
  for (const logit of logits) {
    sum += Math.exp(logit - max);
  }
  return { top, logSumExp: max + Math.log(sum) };
}

function compareRows(referenceLogits: Float32Array, logits: Float32Array): RowComparison {
  const reference = scoreRow(referenceLogits);
  const score = scoreRow(logits);
  let difference = 0;
  for (let index = 0; index < logits.length; index++) {
    const logit = referenceLogits[index] as number;
    const probability = Math.exp(logit - reference.logSumExp);
    // A logit of -Infinity has no weight, and no difference either.
    if (probability > 0) {
      difference += probability * (logit - (logits[index] as number));
    }
  }
  return { reference, score, divergence: difference - reference.logSumExp + score.logSumExp };
}

function addSquares(sums: Float32Array, rows: Float32Array, columns: number, entries: Uint32Array): void {
  for (let entry = 0; entry < entries.length; entry += 2) {
    const source = entries[entry] as number;
    const target = entries[entry + 1] as number;
    for (let column = 0; column < columns; column++) {
      const value = rows[source + column] as number;
      sums[target + column] = (sums[target + column] as number) + Math.fround(value * value);
    }
  }
}
