/** Scores of positions as bytes, which must arrive to the bit: in checkpoints, and on their way between machines. */
import type { PositionScore } from "./scores.js";

/** A score, and the number of its chunk in the text. */
export interface ScoredPosition {
  readonly chunk: number;
  readonly score: PositionScore;
}

/** Numbers kept of a score. */
const fields = 5;

/** Bytes of a score. */
export const packedScoreBytes = 8 * fields;

/** As float64, score after score. */
export function packScores(scores: readonly ScoredPosition[]): Uint8Array {
  const values = new Float64Array(fields * scores.length);
  for (const [i, { chunk, score }] of scores.entries()) {
    const { nll, comparison } = score;
    const { referenceNll = Number.NaN, divergence = 0, sameTop = false } = comparison ?? {};
    values.set([chunk, nll, referenceNll, divergence, sameTop ? 1 : 0], fields * i);
  }
  return new Uint8Array(values.buffer);
}

/** From bytes; what is left over at the end is none. */
export function unpackScores(packed: Uint8Array): ScoredPosition[] {
  const count = Math.floor(packed.byteLength / packedScoreBytes);
  const values = new Float64Array(new Uint8Array(packed.subarray(0, count * packedScoreBytes)).buffer);
  return Array.from({ length: count }, (_, i) => {
    const [chunk = 0, nll = 0, referenceNll = 0, divergence = 0, sameTop] = values.subarray(fields * i);
    const comparison = Number.isNaN(referenceNll)
      ? undefined
      : { referenceNll, divergence, sameTop: sameTop === 1 };
    return { chunk, score: { nll, comparison } };
  });
}
