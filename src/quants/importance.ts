/**
 * Weights and importance as the encoders of formats with scales need them, so that float32 sums neither overflow nor
 * vanish.
 */

const { fround, max, min } = Math;

/** Columns that share a floor; no block format has longer blocks with one scale. */
const groupColumns = 32;

/**
 * Importance scaled to a mean of 1. A column that matters a million times less than another of its group of 32 is
 * raised to that, so that float32 sums keep it, and one that does not matter at all still gets a sensible code. A
 * group, or a row, without any importance counts evenly.
 * @param importance finite, not negative; undefined: all columns alike
 */
export function normalizeImportance(importance: Float32Array | undefined, columns: number): Float32Array {
  const normalized = new Float32Array(columns).fill(1);
  if (!importance) {
    return normalized;
  }
  const sums = new Float64Array(4);
  for (const [i, value] of importance.entries()) {
    sums[i % 4]! += value;
  }
  const sum = sums[0]! + sums[1]! + (sums[2]! + sums[3]!);
  if (sum === 0) {
    return normalized;
  }
  const inverseMean = fround(columns / sum);
  for (let start = 0; start < columns; start += groupColumns) {
    const end = min(start + groupColumns, columns);
    let largest = fround(1e-6);
    for (let i = start; i < end; i++) {
      normalized[i] = importance[i]! * inverseMean;
      largest = max(largest, normalized[i]!);
    }
    const floor = fround(largest * 1e-6);
    for (let i = start; i < end; i++) {
      normalized[i] = max(normalized[i]!, floor);
    }
  }
  return normalized;
}

/** More than any of these formats can hold: the largest F16 scale times integer scale times code of Q6_K. */
const largestImportance = 2 ** 28;

/** A row with weights beyond what the formats can hold limited to that. */
export function limitWeights(row: Float32Array): Float32Array {
  return row.map((weight) => max(-largestImportance, min(largestImportance, weight)));
}
