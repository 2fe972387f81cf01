/**
 * The importance matrix: how large the inputs of each weight tensor were on a calibration text, per column and
 * per expert. What llama-imatrix collects and llama-quantize consumes.
 */
import type { TextSketch } from "../text/text-sketch.js";

/** File formats: GGUF has counts per expert, the older `.dat` only one number of calls per tensor. */
export type ImatrixFormat = "gguf" | "dat";

/** Statistics of one weight tensor. */
export interface ImatrixEntry {
  /**
   * Sums of squared inputs, matrix after matrix (an expert is a matrix), each as long as the tensor's row.
   * In an imatrix read from `.dat`: the mean of the squares times `counts[0]`.
   */
  readonly sums: Float32Array;
  /**
   * Input rows (tokens) behind each matrix: one number per expert, or a single one for a dense tensor.
   * In an imatrix read from `.dat`: the number of calls, always a single one.
   */
  readonly counts: Float64Array;
  /**
   * Of down matrices of routed experts, if it was asked for: the sum over each expert's tokens of what it added to its
   * layer, as the length of its output times the router's weight.
   */
  readonly outputs?: Float32Array | undefined;
}

export interface Imatrix {
  /** What to call it in messages: the file's path, or how it came about. */
  readonly name: string;
  readonly format: ImatrixFormat;
  /** By the weight tensor's name. */
  readonly entries: ReadonlyMap<string, ImatrixEntry>;
  /** Paths of the calibration texts, the latest last. */
  readonly datasets: readonly string[];
  /** Chunks of calibration text. */
  readonly chunkCount: number;
  /** Tokens in a chunk; 0 if the format does not say (`.dat`). */
  readonly chunkSize: number;
  /** The shrinkage prior asked for when it was made, in tokens; undefined if the file does not say. */
  readonly priorWeight: number | undefined;
  /** By which the calibration text is recognized; undefined if the file has none (llama-imatrix, `.dat`). */
  readonly sketch?: TextSketch | undefined;
  /** In the checkpoint of an unfinished run: which run, so that only the same one continues it. */
  readonly run?: string | undefined;
  /** Likewise, of a run in windows of layers: windows that are complete; `chunkCount` is of the next one. */
  readonly window?: number | undefined;
}

/** The largest of the counts. */
export function mostTokens(entry: ImatrixEntry): number {
  return entry.counts.reduce((most, count) => Math.max(most, count), 0);
}

/** Names in the order of their UTF-8 bytes, as llama-imatrix writes them. */
export function sortedNames(imatrix: Imatrix): string[] {
  return [...imatrix.entries.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
