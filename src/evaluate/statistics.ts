/** Means with their errors, and percentiles, as llama-perplexity defines them (`tools/perplexity/perplexity.cpp`). */

/** A mean and the standard error of that mean. */
export interface Estimate {
  readonly mean: number;
  readonly error: number;
}

/** Sums of a quantity and its square over positions. */
export class RunningStatistics {
  count = 0;
  sum = 0;
  sumOfSquares = 0;

  add(value: number): void {
    this.count++;
    this.sum += value;
    this.sumOfSquares += value * value;
  }

  /** Mean and sqrt(variance / (count - 1)); no error for ten values or fewer. */
  estimate(): Estimate {
    if (this.count === 0) {
      return { mean: 0, error: 0 };
    }
    const mean = this.sum / this.count;
    const variance = this.sumOfSquares / this.count - mean * mean;
    return { mean, error: variance > 0 && this.count > 10 ? Math.sqrt(variance / (this.count - 1)) : 0 };
  }
}

/** The value below which `fraction` of `sorted` lies, by linear interpolation; NaN for no values. */
export function percentile(sorted: Float32Array, fraction: number): number {
  const place = fraction * (sorted.length - 1);
  const below = Math.floor(place);
  const rest = place - below;
  const lower = sorted[below] ?? Number.NaN;
  const upper = sorted[Math.min(below + 1, sorted.length - 1)] ?? Number.NaN;
  return rest === 0 ? lower : (1 - rest) * lower + rest * upper;
}
