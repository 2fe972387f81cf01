/** How good an encoding is. */
import type { Rows } from "./rows.js";

export interface Quality {
  /** <W, Q> / <W, W>, weighted by importance: 1 if unbiased. */
  readonly gain: number;
  /** |W - Q|^2 / |W|^2, weighted by importance, after Q was scaled to gain 1. */
  readonly error: number;
}

/** Compares rows with what was decoded from their encoding. */
export function qualityOf({ weights, columns, importance }: Rows, decoded: Float32Array): Quality {
  let ww = 0;
  let wq = 0;
  let qq = 0;
  for (const [i, w] of weights.entries()) {
    const q = decoded[i]!;
    const weight = importance?.[i % columns] ?? 1;
    ww += weight * w * w;
    wq += weight * w * q;
    qq += weight * q * q;
  }
  return { gain: wq / ww, error: (qq * ww) / (wq * wq) - 1 };
}
