/**
 * Reductions over rows of float32 values, as a model's activations and logits are: what runs beside a model for
 * every token, and must take a small part of the time that the model takes.
 */

/** What the softmax of a row needs. */
export interface RowScore {
  /** Number of the highest logit, the first of equals. */
  readonly top: number;
  /** ln of the sum of exp(logit); NaN if a logit is NaN or Infinity. The log-probability of t is logit[t] - this. */
  readonly logSumExp: number;
}

/** How a row differs from a reference row. */
export interface RowComparison {
  readonly reference: RowScore;
  readonly score: RowScore;
  /** Kullback-Leibler divergence in nats: sum of p ln(p / q), p being the reference's probabilities. */
  readonly divergence: number;
}

export interface Reducer {
  /** Top token and normalization of a row. */
  scoreRow(logits: Float32Array): RowScore;
  /** Both rows' scores and their divergence. */
  compareRows(reference: Float32Array, logits: Float32Array): RowComparison;
  /**
   * `sums[target + j] += rows[source + j]^2` for j < `columns` and each pair (source, target) in `entries`, in
   * order and rounded to float32 after each step.
   */
  addSquares(sums: Float32Array, rows: Float32Array, columns: number, entries: Uint32Array): void;
}
