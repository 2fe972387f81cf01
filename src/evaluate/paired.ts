/**
 * Differences between two models on the same chunks. Chunks are what varies: positions within one depend on each
 * other, and both models find the same chunks hard, so that the differences vary far less than either model's values.
 */
import type { ChunkScore } from "./scores.js";

export interface PairedDifference {
  /** Mean over all scored positions of the first model's value minus the second's. */
  readonly difference: number;
  /** Its standard error. */
  readonly error: number;
  /** Ends of the 95 % interval. */
  readonly low: number;
  readonly high: number;
  readonly chunks: number;
}

/**
 * The difference between two models' values, with a 95 % interval by Student's t over chunks, each with the weight
 * of its scored positions. Undefined for chunks that do not match, or fewer than two.
 */
export function pairedDifference(
  first: readonly ChunkScore[],
  second: readonly ChunkScore[],
  figureOf: (chunk: ChunkScore) => number | undefined,
): PairedDifference | undefined {
  const chunks = first.length;
  if (chunks < 2 || chunks !== second.length) {
    return undefined;
  }
  const pairs: { readonly weight: number; readonly difference: number }[] = [];
  for (const [at, chunk] of first.entries()) {
    const other = second[at];
    const [a, b] = [figureOf(chunk), other && figureOf(other)];
    if (a === undefined || b === undefined || chunk.positions !== other?.positions) {
      return undefined;
    }
    pairs.push({ weight: chunk.positions, difference: a - b });
  }
  const total = pairs.reduce((sum, { weight }) => sum + weight, 0);
  const difference = pairs.reduce((sum, pair) => sum + pair.weight * pair.difference, 0) / total;
  const squares = pairs.reduce((sum, pair) => sum + (pair.weight * (pair.difference - difference)) ** 2, 0);
  const error = Math.sqrt((chunks / (chunks - 1)) * squares) / total;
  const margin = studentQuantile(chunks - 1) * error;
  return { difference, error, low: difference - margin, high: difference + margin, chunks };
}

/** Two-sided 95 % quantiles of Student's t for one to nine degrees of freedom. */
const fewDegrees = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622];

/** Beyond those by Hill's expansion around the normal quantile (Abramowitz and Stegun, 26.7.5): right to 0.001. */
export function studentQuantile(degrees: number): number {
  const exact = fewDegrees[degrees - 1];
  if (exact !== undefined) {
    return exact;
  }
  const z = 1.959964;
  const [z3, z5, z7] = [z ** 3, z ** 5, z ** 7];
  return (
    z +
    (z3 + z) / (4 * degrees) +
    (5 * z5 + 16 * z3 + 3 * z) / (96 * degrees ** 2) +
    (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * degrees ** 3)
  );
}
