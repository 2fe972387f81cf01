/** What is asked of every batch of weights; the reference for the kernels of `kernels/assembly/measure.ts`. */

const { fround } = Math;

/** Whether no weight is infinite or NaN. */
export function isFiniteRows(weights: Float32Array): boolean {
  for (const weight of weights) {
    if (!Number.isFinite(weight)) {
      return false;
    }
  }
  return true;
}

/** Columns whose products are summed in float32, in four lanes, before they are added to sums in float64. */
const runColumns = 64;

/** Sums in float32 of a row whose energy and error lie between these have lost nothing of weight to under- or overflow. */
const leastEnergy = 2 ** -50;
const largestSum = 2 ** 100;

/**
 * Writes to `sums`, for each row: sum of i*w*w, of i*w*(w-q), of i*(w-q)^2, where w is the weight, q the decoded
 * weight and i the importance of the column. Column c adds to partial sum c mod 4, and the partial sums are added as
 * (0 + 1) + (2 + 3), so that four lanes compute exactly the same. Products are float32, which nothing is lost by as
 * long as the weights are neither huge nor tiny; then they are float64.
 */
export function measureRows(
  weights: Float32Array,
  decoded: Float32Array,
  importance: Float32Array,
  columns: number,
  sums: Float64Array,
): void {
  const rows = weights.length / columns;
  for (let row = 0; row < rows; row++) {
    const w = weights.subarray(row * columns, (row + 1) * columns);
    const q = decoded.subarray(row * columns, (row + 1) * columns);
    const out = sums.subarray(3 * row, 3 * row + 3);
    measureInRuns(w, q, importance, out);
    if (!(out[0]! >= leastEnergy && out[0]! <= largestSum && out[2]! <= largestSum)) {
      measureInFull(w, q, importance, out);
    }
  }
}

/** Of one row, with products in float32. */
function measureInRuns(
  weights: Float32Array,
  decoded: Float32Array,
  importance: Float32Array,
  sums: Float64Array,
): void {
  const [energy, loss, error] = [new Float64Array(4), new Float64Array(4), new Float64Array(4)];
  for (let start = 0; start < weights.length; start += runColumns) {
    const run = [new Float32Array(4), new Float32Array(4), new Float32Array(4)] as const;
    for (let column = start; column < Math.min(start + runColumns, weights.length); column++) {
      const w = weights[column]!;
      const i = importance[column]!;
      const difference = fround(w - decoded[column]!);
      const weighted = fround(i * w);
      run[0][column % 4]! += fround(weighted * w);
      run[1][column % 4]! += fround(weighted * difference);
      run[2][column % 4]! += fround(fround(i * difference) * difference);
    }
    for (let lane = 0; lane < 4; lane++) {
      energy[lane]! += run[0][lane]!;
      loss[lane]! += run[1][lane]!;
      error[lane]! += run[2][lane]!;
    }
  }
  writeTotals(energy, loss, error, sums);
}

/** Of one row, with products in float64. */
function measureInFull(
  weights: Float32Array,
  decoded: Float32Array,
  importance: Float32Array,
  sums: Float64Array,
): void {
  const [energy, loss, error] = [new Float64Array(4), new Float64Array(4), new Float64Array(4)];
  for (const [column, w] of weights.entries()) {
    const i = importance[column]!;
    const difference = w - decoded[column]!;
    energy[column % 4]! += i * w * w;
    loss[column % 4]! += i * w * difference;
    error[column % 4]! += i * difference * difference;
  }
  writeTotals(energy, loss, error, sums);
}

function writeTotals(
  energy: Float64Array,
  loss: Float64Array,
  error: Float64Array,
  sums: Float64Array,
): void {
  for (const [k, sum] of [energy, loss, error].entries()) {
    sums[k] = sum[0]! + sum[1]! + (sum[2]! + sum[3]!);
  }
}
