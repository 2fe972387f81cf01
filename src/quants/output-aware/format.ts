/** What the output-aware encoder must know of a block format. weight = d multiple(s) value - dmin m. */

import type { Grid } from "../grid-search.js";

/** A superblock's scales; blocks have an integer scale s and, in some formats, an integer minimum m. */
export interface Scales {
  d: number;
  dmin: number;
  readonly scales: Int32Array;
  readonly minima: Int32Array;
}

/** How values are chosen, for code that does it itself. */
export type Choice =
  | { readonly kind: "integers"; readonly low: number; readonly high: number }
  | { readonly kind: "grid"; readonly grid: Grid; readonly evenSigns: boolean }
  /** Points of IQ1's grid, shifted: by the block's "minimum" (0 up, 1 down), or each group as is better. */
  | {
      readonly kind: "shifted grid";
      readonly grid: Grid;
      readonly shift: number;
      readonly blockShifts: boolean;
    }
  /** Twice the values of E2M1. */
  | { readonly kind: "four-bit floats" };

export interface BlockFormat {
  readonly choice: Choice;
  /** Weights that share an integer scale. */
  readonly block: number;
  /** Weights whose values are chosen together: a grid's group, or one. */
  readonly unit: number;
  /** Bytes of a superblock of 256. */
  readonly bytes: number;
  /** Integer scales from `lowest` to `highest`. */
  readonly lowest: number;
  readonly highest: number;
  /** Largest integer minimum; 0 if the format has none. */
  readonly highestMinimum: number;
  /** Whether d is 1 and cannot be changed. */
  readonly isScaleFixed?: boolean;
  /** What d is multiplied by for the integer scale s. */
  multiple(s: number): number;
  /** Reads the scales of an encoded superblock. */
  read(bytes: Uint8Array, at: number, scales: Scales): void;
  /**
   * Chooses the values of a unit.
   * @param targets what scale x value should come near, from index `at` on
   * @param weights how much the square of each difference matters, from index 0 on
   * @param values where the values go, from index `at` on
   * @param minimum the block's integer minimum
   */
  choose(
    targets: Float64Array,
    weights: Float64Array,
    at: number,
    scale: number,
    values: Float64Array,
    minimum: number,
  ): void;
  /** Writes a superblock; `values` from index `from` on. */
  write(scales: Scales, values: Float32Array | Float64Array, from: number, out: Uint8Array, at: number): void;
}

export const superblockWeights = 256;
