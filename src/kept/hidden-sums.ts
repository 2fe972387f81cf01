/** What entered the down matrices of a layer's experts, as the importance matrix of the same run sums it up. */
import type { KeptInput } from "./layers.js";

/** Of an entry of an importance matrix: sums of squared inputs, matrix after matrix. */
export interface ImatrixSums {
  readonly sums: Float32Array;
}

/** For each expert the sum of the squares of all that entered its down matrix; zeros if none was seen. */
export function hiddenSums(
  { down, experts }: Pick<KeptInput, "down" | "experts">,
  entries: ReadonlyMap<string, ImatrixSums>,
): Float32Array {
  const { sums } = entries.get(down) ?? { sums: new Float32Array(experts) };
  const width = sums.length / experts;
  return Float32Array.from({ length: experts }, (_, expert) =>
    sums.subarray(expert * width, (expert + 1) * width).reduce((sum, square) => sum + square, 0),
  );
}
