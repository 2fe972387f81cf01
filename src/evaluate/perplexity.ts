/** Perplexity: how surprised a model is by a text. Definition: llama-perplexity (`tools/perplexity/perplexity.cpp`). */
import type { RunningStatistics } from "./statistics.js";

export interface Perplexity {
  /** exp of the mean negative log-likelihood. */
  readonly ppl: number;
  /** Standard error of `ppl`. */
  readonly pplError: number;
  /** Scored positions. */
  readonly positions: number;
}

/**
 * First position of a chunk that is scored: the first half only gives context. Positions from here to the last
 * but one predict their successor.
 */
export function firstScored(context: number): number {
  return Math.floor(context / 2);
}

/** Positions of a chunk that are scored: 255 of 512. */
export function scoredPerChunk(context: number): number {
  return context - 1 - firstScored(context);
}

/** Perplexity from the negative log-likelihoods of all scored positions. */
export function perplexityOf(negativeLogLikelihood: RunningStatistics): Perplexity {
  const { mean, error } = negativeLogLikelihood.estimate();
  const ppl = Math.exp(mean);
  return { ppl, pplError: error * ppl, positions: negativeLogLikelihood.count };
}
