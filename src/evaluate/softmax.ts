/**
 * Scores of one row of logits (one position, a value per token of the vocabulary). These loops run over
 * positions x vocabulary values, 39 million in a chunk of Qwen3, so the exponential is our own: Math.exp takes
 * three times as long as everything else together.
 */

/** What the softmax of a row needs. */
export interface RowScore {
  /** Token with the highest logit, the first of equals. */
  readonly top: number;
  /** ln of the sum of exp(logit); NaN if a logit is NaN or infinite. The log-probability of t is logit[t] - this. */
  readonly logSumExp: number;
}

/** Divergence of one row from a reference row, and both scores. */
export interface RowComparison {
  readonly reference: RowScore;
  readonly score: RowScore;
  /** Kullback-Leibler divergence in nats: sum of p ln(p / q), p being the reference. */
  readonly divergence: number;
}

const stepsPerOctave = 16;
const lowestStep = -4000;
const stepsPerNat = stepsPerOctave * Math.LOG2E;
const natsPerStep = Math.LN2 / stepsPerOctave;
/** 2^(k / 16) for k from -4000 to 0. */
const powers = Float64Array.from(
  { length: 1 - lowestStep },
  (_, i) => 2 ** ((i + lowestStep) / stepsPerOctave),
);
/** Below any exp(x) with x in range that counts, above the value that stands for everything out of range. */
const negligible = 1e-70;

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
  const top = indexOfMax(logits);
  const max = logits[top] as number;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += expOfNegative((logits[i] as number) - max);
  return { top, logSumExp: max + Math.log(sum) };
}

/**
 * Compares a row with the reference model's row for the same position, over the whole vocabulary and without
 * clamping: sum of p (a - b) = E[a - b] and the two normalizations give the divergence with one exponential
 * per logit.
 */
export function compareRows(referenceLogits: Float32Array, logits: Float32Array): RowComparison {
  const top = indexOfMax(referenceLogits);
  const max = referenceLogits[top] as number;
  let sum = 0;
  let weighted = 0;
  for (let i = 0; i < referenceLogits.length; i++) {
    const logit = referenceLogits[i] as number;
    const weight = expOfNegative(logit - max);
    sum += weight;
    // A logit of -Infinity has no weight, and no difference either.
    if (weight > negligible) weighted += weight * (logit - (logits[i] as number));
  }
  const reference = { top, logSumExp: max + Math.log(sum) };
  const score = scoreRow(logits);
  return { reference, score, divergence: weighted / sum - reference.logSumExp + score.logSumExp };
}
