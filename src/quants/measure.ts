/** What is asked of every batch of weights; the reference for the kernels of `kernels/assembly/measure.ts`. */

/** Whether no weight is infinite or NaN. */
export function isFiniteRows(weights: Float32Array): boolean {
  for (const weight of weights) {
    if (!Number.isFinite(weight)) {
      return false;
    }
  }
  return true;
}

/**
 * Writes to `sums`, for each row: sum of i*w*w, of i*w*(w-q), of i*(w-q)^2, where w is the weight, q the decoded
 * weight and i the importance of the column. In float64; column c adds to partial sum c mod 4, and the partial
 * sums are added as (0 + 1) + (2 + 3), so that four lanes compute exactly the same.
 */
export function measureRows(
  weights: Float32Array,
  decoded: Float32Array,
  importance: Float32Array,
  columns: number,
  sums: Float64Array,
): void {
  const energy = new Float64Array(4);
  const loss = new Float64Array(4);
  const error = new Float64Array(4);
  const rows = weights.length / columns;
  for (let row = 0; row < rows; row++) {
    energy.fill(0);
    loss.fill(0);
    error.fill(0);
    for (let column = 0; column < columns; column++) {
      const w = weights[row * columns + column]!;
      const i = importance[column]!;
      const difference = w - decoded[row * columns + column]!;
      energy[column % 4]! += i * w * w;
      loss[column % 4]! += i * w * difference;
      error[column % 4]! += i * difference * difference;
    }
    for (const [k, sum] of [energy, loss, error].entries()) {
      sums[3 * row + k] = sum[0]! + sum[1]! + (sum[2]! + sum[3]!);
    }
  }
}
