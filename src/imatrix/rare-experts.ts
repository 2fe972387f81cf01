/**
 * The policy for experts that a text routed few tokens to, of which their statistics are a poor estimate.
 *
 * An expert's mean square of n tokens is mixed with that of the average expert as if it had seen w more tokens:
 * (sum + w x average) / (n + w), the posterior mean of a variance whose prior is worth w observations. The same tokens
 * count in its share of a budget, so that an expert that saw none is neither worthless nor weighs like one that was
 * visited. Second moments, which are matrices, need more than a scale: tokens per column decide there
 * (`quants/output-aware/expert-moments.ts` mixes in the layer's, `refine.ts` has the ridge).
 */
import type { Imatrix } from "./imatrix.js";

/**
 * Tokens of prior, if neither the caller nor the file says otherwise. One token leaves a well visited expert as it is
 * (0.1 % at a thousand tokens) and keeps an expert that saw a single token from trusting that token alone (llama.cpp
 * issue 15060).
 */
export const defaultPriorWeight = 1;

/**
 * Tokens below which an expert counts as thin: the mean of n squared Gaussian inputs has a relative standard
 * error of sqrt(2 / n), 12.5 % at 128.
 */
export const thinExpertTokens = 128;

/** An expert's mean squares with the prior mixed in. */
export function shrunkMean(
  sums: Float32Array,
  count: number,
  averageExpert: Float64Array,
  priorWeight: number,
): Float32Array {
  return sums.map(
    (sum, column) => (sum + priorWeight * (averageExpert[column] ?? 0)) / (count + priorWeight),
  );
}

/**
 * How many of the routed tokens each expert of a tensor saw, prior included, up to a factor; all alike if that is not
 * known.
 */
export function expertShares(
  imatrix: Imatrix | undefined,
  importance: { readonly entry: string } | undefined,
  experts: number,
): number[] {
  const counts = importance && imatrix?.entries.get(importance.entry)?.counts;
  return Array.from({ length: experts }, (_, expert) =>
    counts?.length === experts ? (counts[expert] ?? 0) + defaultPriorWeight : 1,
  );
}
