/**
 * Second moments of the inputs of weights, sum of x x^T over the tokens of a calibration text: what an encoder needs
 * to know of how errors in different columns act together (`output-aware` encoding).
 */

/** Moments of one input. */
export interface MomentsEntry {
  /** Length of the input vectors. */
  readonly columns: number;
  /** Sums of x x^T, packed as in `packed.ts`: one for each expert, or a single one. */
  readonly sums: readonly Float32Array[];
  /** Vectors behind each sum. */
  readonly counts: Float64Array;
}

export interface Moments {
  /** What to call it in messages: the file's path, or how it came about. */
  readonly name: string;
  /** By the input's name (`inputs.ts`). */
  readonly entries: ReadonlyMap<string, MomentsEntry>;
}
