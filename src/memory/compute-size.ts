/**
 * Roughly what llama.cpp's compute buffers take, for when the library is not there to tell. The graph's results
 * are laid over one another as soon as they are used up, so the peak is that of one layer: its attention or its
 * feed-forward part, besides the residual stream and the attention mask.
 */
import type { Architecture } from "../model/architecture.js";
import { paddedContext } from "./kv-cache.js";

export interface ComputeOptions {
  /** Tokens of context for each sequence. */
  readonly contextLength: number;
  readonly sequences?: number;
  /** Tokens computed at once (`--ubatch-size`); 512 by default. */
  readonly microBatch?: number;
}

/** An estimate of the compute buffers in bytes, flash attention assumed. */
export function estimateCompute(architecture: Architecture, options: ComputeOptions): number {
  const { sequences = 1 } = options;
  const context = paddedContext(options.contextLength);
  const tokens = Math.min(options.microBatch ?? 512, context * sequences);
  const width = architecture.embeddingLength;
  const heads = architecture.hasHeads ? architecture.heads() : 0;
  const attention =
    heads === 0
      ? 6 * (architecture.number("ssm.inner_size") ?? width)
      : 2 * heads * architecture.keyLength + heads * architecture.valueLength;
  const used = architecture.expertsUsed;
  // With experts the peak comes at the end: their outputs before and after weighting, and what they were made of.
  const feedForward =
    used > 0
      ? used * (2 * width + architecture.expertFeedForwardLength()) + 2 * architecture.experts
      : 3 * (architecture.layerNumber("feed_forward_length", 0) ?? 0);
  const activations = 4 * tokens * (3 * width + Math.max(attention, feedForward));
  const mask = heads === 0 ? 0 : 2 * tokens * context;
  const logits = 4 * sequences * architecture.vocabularySize;
  return activations + mask + logits;
}
