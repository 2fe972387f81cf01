/**
 * The SIMD version of `factor.ts`: a factor made in the memory of the kernels, as they read it. Of a symmetric matrix
 * the upper triangle is made and read alone, and no matrix is copied that need not be.
 */
import type { Heap } from "../../wasm/heap.js";
import { Dense } from "./dense.js";
import { inverseMeanOf } from "./factor.js";
import { superblockWeights } from "./format.js";
import { invertSymmetric, invertUpper, timesTransposed } from "./linear-algebra.js";

/** Parts of the memory that hold the factor, in float32 unless it says otherwise. */
export interface FactorViews {
  /**
   * U_ij over the root of H_ii, the largest of a column 2^14, in int16, in the tiles of `assembly/rounded-product.ts`; and
   * what the largest are.
   */
  readonly feedback: Float32Array;
  readonly feedbackScales: Float32Array;
  /** H over the roots of its diagonal, times 2^14, like `feedback`. */
  readonly correlations: Float32Array;
  /** Roots of the moments' diagonal. */
  readonly deviations: Float32Array;
  /** mu (H + mu)^-1 times 2^14, like `correlations`. */
  readonly faint: Float32Array;
  /** The panels on the diagonals of U and of H, row after row. */
  readonly nearFeedback: Float32Array;
  readonly nearMoments: Float32Array;
  readonly conditional: Float32Array;
  readonly inverses: Float32Array;
  readonly conditionalDiagonal: Float32Array;
  readonly momentDiagonal: Float32Array;
  /** What is needed only while a factor is made: H, then its root; the inverses of the root's diagonal blocks, float64. */
  readonly moments: Float32Array;
  readonly unitInverses: Float32Array;
  readonly dense: Float32Array;
}

/** Values of each part for inputs of n columns, in the order of their places. */
export function factorCounts(n: number, unit: number): Record<keyof FactorViews, number> {
  return {
    feedback: (n * n) / 2,
    correlations: (n * n) / 2,
    feedbackScales: n,
    deviations: n,
    faint: (n * n) / 2,
    nearFeedback: n * superblockWeights,
    nearMoments: n * superblockWeights,
    conditional: n * unit,
    inverses: n * unit,
    conditionalDiagonal: n,
    momentDiagonal: n,
    moments: n * n,
    unitInverses: 2 * n * unit,
    dense: Dense.size(n),
  };
}

/**
 * Makes the factor of some moments; see `factorize` for the parameters and the error.
 * @param views of the size that `factorCounts` says, in the memory of the heap
 */
export function fillFactor(
  heap: Pick<Heap, "exports" | "buffer">,
  views: FactorViews,
  { moments, columns: n, unit, ridge }: FactorRequest,
): void {
  const exports = heap.exports as Record<string, (...numbers: number[]) => void>;
  const h = views.moments;
  h.set(moments);
  exports.scale_upper?.(h.byteOffset, n, inverseMeanOf(moments, n));
  for (let i = 0; i < n; i++) {
    h[i * n + i]! += ridge;
    views.momentDiagonal[i] = h[i * n + i]!;
    views.deviations[i] = Math.sqrt(h[i * n + i]!);
  }
  const dense = new Dense(heap, views.dense.byteOffset, n);
  // U and H's correlations come last, and their places, one after the other, are free until then.
  const work = new Float32Array(heap.buffer, views.feedback.byteOffset, n * n);
  const mu = 1 + ridge;
  work.set(h);
  for (let i = 0; i < n; i++) {
    work[i * n + i]! += mu;
  }
  dense.choleskyReversed(work);
  dense.invertUpper(work);
  dense.square(work);
  exports.fill_rounded?.(work.byteOffset, n, mu, 0, views.faint.byteOffset);
  const deviations = views.deviations.byteOffset;
  exports.fill_rounded?.(h.byteOffset, n, 1, deviations, views.correlations.byteOffset);
  fillNearMoments(views, n);
  for (let from = 0; from < n; from += unit) {
    views.inverses.set(invertSymmetric(upperBlock(h, n, from, unit), unit), from * unit);
  }
  dense.choleskyReversed(h);
  fillFeedback(exports, views, n, unit);
}

/** What the factor is made of. */
export interface FactorRequest {
  /** n x n; the upper triangle is read. */
  readonly moments: Float32Array;
  /** A multiple of 256. */
  readonly columns: number;
  readonly unit: number;
  readonly ridge: number;
}

/** The panels on H's diagonal. */
function fillNearMoments({ moments, nearMoments }: FactorViews, n: number): void {
  const size = superblockWeights;
  for (let i = 0; i < n; i++) {
    const panel = i - (i % size);
    for (let j = i; j < panel + size; j++) {
      const value = moments[i * n + j]!;
      nearMoments[i * size + j - panel] = value;
      nearMoments[j * size + i - panel] = value;
    }
  }
}

/** U and S of the root that `moments` holds. */
function fillFeedback(
  exports: Record<string, (...numbers: number[]) => void>,
  views: FactorViews,
  n: number,
  unit: number,
): void {
  const { moments: root, conditional, conditionalDiagonal, unitInverses } = views;
  const inverses = new Float64Array(unitInverses.buffer, unitInverses.byteOffset, n * unit);
  for (let from = 0; from < n; from += unit) {
    const block = upperBlock(root, n, from, unit);
    inverses.set(invertUpper(block, unit), from * unit);
    conditional.set(timesTransposed(block, unit), from * unit);
  }
  for (let i = 0; i < n; i++) {
    conditionalDiagonal[i] = conditional[i * unit + (i % unit)]!;
  }
  exports.fill_feedback?.(
    root.byteOffset,
    n,
    unit,
    unitInverses.byteOffset,
    views.deviations.byteOffset,
    views.dense.byteOffset,
    views.feedback.byteOffset,
    views.feedbackScales.byteOffset,
    views.nearFeedback.byteOffset,
  );
}

/** The upper triangle of a unit's own rows and columns. */
function upperBlock(a: Float32Array, n: number, from: number, size: number): Float64Array {
  const block = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    const row = (from + i) * n + from;
    block.set(a.subarray(row + i, row + size), i * size + i);
  }
  return block;
}
