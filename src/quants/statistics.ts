/**
 * How well encoded weights Q stand for the source weights W, as importance-weighted sums. The difference is
 * summed itself, not derived from <Q,Q>, so that the tiny errors of wide types are not lost in rounding.
 */
export interface Statistics {
  /** Number of weights. */
  readonly weights: number;
  /** <W,W>: sum of importance * w^2. */
  readonly energy: number;
  /** <W,W-Q>: sum of importance * w * (w - q). */
  readonly loss: number;
  /** <W-Q,W-Q>: sum of importance * (w - q)^2. */
  readonly error: number;
  /** Rows that are not zero in the source and all zero after encoding (weights below what the type can hold). */
  readonly vanishedRows: number;
}

/** Statistics of nothing, and of bytes that were copied. */
export const noStatistics: Statistics = { weights: 0, energy: 0, loss: 0, error: 0, vanishedRows: 0 };

/** Statistics of two stretches of weights together. */
export function addStatistics(a: Statistics, b: Statistics): Statistics {
  return {
    weights: a.weights + b.weights,
    energy: a.energy + b.energy,
    loss: a.loss + b.loss,
    error: a.error + b.error,
    vanishedRows: a.vanishedRows + b.vanishedRows,
  };
}

/** Statistics that count for so much. */
export function weightedStatistics(statistics: Statistics, share: number): Statistics {
  const { energy, loss, error } = statistics;
  return { ...statistics, energy: share * energy, loss: share * loss, error: share * error };
}

/** Statistics of rows together, from what `Workspace.measure` left of each: energy, loss and error. */
export function sumOfRows(sums: Float64Array, rows: number): Statistics {
  let [energy, loss, error] = [0, 0, 0];
  for (let row = 0; row < rows; row++) {
    energy += sums[3 * row] ?? 0;
    loss += sums[3 * row + 1] ?? 0;
    error += sums[3 * row + 2] ?? 0;
  }
  return { ...noStatistics, energy, loss, error };
}

/** Weighted squared error as a share of the weights' own weighted sum of squares; 0 for a copy. */
export function relativeError({ energy, error }: Statistics): number {
  return energy > 0 ? error / energy : 0;
}

/**
 * <W,Q> / <W,W>: 1 when encoding neither shrinks nor inflates the weights. A gain away from 1 costs a model more
 * than its share of the error, because it is the same in every layer and does not average out.
 */
export function gain({ energy, loss }: Statistics): number {
  return energy > 0 ? 1 - loss / energy : 1;
}

/** Relative error after Q is scaled to unit gain: what compares encoders of different bias. */
export function unitGainError({ energy, loss, error }: Statistics): number {
  const cross = energy - loss;
  // With g = cross / energy: |W - Q/g|^2 / |W|^2 = |Q|^2 |W|^2 / cross^2 - 1, and |Q|^2 = energy - 2 loss + error.
  return cross > 0 ? (error * energy - loss * loss) / (cross * cross) : 1;
}
