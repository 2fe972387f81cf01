/** Which positions of a text are compared to measure sensitivity, and what the model said there before any noise. */
import { compareRows } from "../../evaluate/softmax.js";
import { type Estimate, RunningStatistics } from "../../evaluate/statistics.js";
import { type RunModel, sequencesTogether, type TextChunks } from "../../text/chunks.js";

/** Logits kept of the model without noise, in bytes: of a large vocabulary not every position. */
const keptLogitsBytes = 2 ** 30;

/** Positions with less context than this are left out; unlike in a perplexity, the others all count. */
export function firstCompared(context: number): number {
  return Math.floor(context / 16);
}

/** Chunks decoded together. */
export function chunksTogether(context: number, model: RunModel): number {
  return sequencesTogether(context, context - firstCompared(context), model);
}

/** Every so-many-th scored position is compared, as many as there is room for. */
export function comparedStride({ context, chunks }: TextChunks, vocabulary: number): number {
  const scored = (context - firstCompared(context)) * chunks;
  return Math.max(1, Math.ceil((4 * vocabulary * scored) / keptLogitsBytes));
}

/** Rounding can leave less than nothing of a divergence near zero. */
export function divergenceOf(reference: Float32Array, logits: Float32Array): number {
  return Math.max(0, compareRows(reference, logits).divergence);
}

export function estimateOf(values: Iterable<number>): Estimate {
  const moments = new RunningStatistics();
  for (const value of values) {
    moments.add(value);
  }
  return moments.estimate();
}
