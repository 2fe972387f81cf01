/**
 * Differences between two models on the same chunks. Chunks are what varies: positions within one depend on each
 * other, and both models find the same chunks hard, so that the differences vary far less than either model's values.
 */
import { studentQuantile } from "../intervals.js";
import type { ChunkScore } from "./scores.js";

export interface PairedDifference {
  /** Mean over all scored positions of the first model's value minus the second's. */
  readonly difference: number;
  /** Its standard error. */
  readonly error: number;
  /**
   * Ends of the interval that 95 of 100 measurements on as much other text of the same kinds fall into. The 95 %
   * interval of the mean itself is narrower by the square root of two.
   */
  readonly low: number;
  readonly high: number;
  readonly chunks: number;
}

/** How a chunk's figure is read. */
export type ChunkFigure = (chunk: ChunkScore) => number | undefined;

/**
 * The difference between two models' values on some texts, each given by its chunks, with the interval that another
 * such measurement falls into, by Student's t. Chunks have the weight of their scored positions, and vary around the mean of their own text: that
 * texts differ from each other is no error. Undefined for chunks that do not match, or fewer than two of a text.
 */
export function pairedDifference(
  first: readonly (readonly ChunkScore[])[],
  second: readonly (readonly ChunkScore[])[],
  figureOf: ChunkFigure,
): PairedDifference | undefined {
  const texts = first.map((chunks, text) => pairsOf(chunks, second[text] ?? [], figureOf));
  let [total, sum, variance, chunks, degrees] = [0, 0, 0, 0, 0];
  for (const pairs of texts) {
    if (pairs === undefined) {
      return undefined;
    }
    const weight = sumOf(pairs, (pair) => pair.weight);
    const weighted = sumOf(pairs, (pair) => pair.weight * pair.difference);
    const squares = sumOf(pairs, (pair) => (pair.weight * (pair.difference - weighted / weight)) ** 2);
    total += weight;
    sum += weighted;
    variance += (pairs.length / (pairs.length - 1)) * squares;
    chunks += pairs.length;
    degrees += pairs.length - 1;
  }
  if (degrees === 0 || first.length !== second.length) {
    return undefined;
  }
  const [difference, error] = [sum / total, Math.sqrt(variance) / total];
  // The other measurement's error is as large and independent.
  const margin = studentQuantile(degrees) * Math.SQRT2 * error;
  return { difference, error, low: difference - margin, high: difference + margin, chunks };
}

interface Pair {
  readonly weight: number;
  readonly difference: number;
}

function pairsOf(
  first: readonly ChunkScore[],
  second: readonly ChunkScore[],
  figureOf: ChunkFigure,
): Pair[] | undefined {
  if (first.length < 2 || first.length !== second.length) {
    return undefined;
  }
  const pairs: Pair[] = [];
  for (const [at, chunk] of first.entries()) {
    const other = second[at];
    const [a, b] = [figureOf(chunk), other && figureOf(other)];
    if (a === undefined || b === undefined || chunk.positions !== other?.positions) {
      return undefined;
    }
    pairs.push({ weight: chunk.positions, difference: a - b });
  }
  return pairs;
}

function sumOf(pairs: readonly Pair[], of: (pair: Pair) => number): number {
  return pairs.reduce((sum, pair) => sum + of(pair), 0);
}
