/** Statistics of a model as those of the same model with padded experts, whose further hidden values are zero. */
import { rowCount, type SourceTensor } from "../model/source.js";
import type { Imatrix, ImatrixEntry } from "./imatrix.js";

/**
 * An importance matrix for the tensors of `padded` (names and order as in `tensors`): zeros for the columns that they
 * have more.
 */
export function paddedImatrix(
  imatrix: Imatrix,
  tensors: readonly SourceTensor[],
  padded: readonly SourceTensor[],
): Imatrix {
  const entries = new Map(imatrix.entries);
  for (const [index, { name, shape }] of tensors.entries()) {
    const entry = entries.get(name);
    const columns = shape[0] ?? 1;
    const wider = padded[index]?.shape[0] ?? columns;
    if (entry !== undefined && wider > columns) {
      entries.set(name, paddedEntry(entry, rowCount(shape) / (shape[1] ?? 1), columns, wider));
    }
  }
  return { ...imatrix, entries };
}

function paddedEntry(entry: ImatrixEntry, matrices: number, columns: number, wider: number): ImatrixEntry {
  const sums = new Float32Array(matrices * wider);
  for (let matrix = 0; matrix < matrices; matrix++) {
    sums.set(entry.sums.subarray(matrix * columns, (matrix + 1) * columns), matrix * wider);
  }
  return { ...entry, sums };
}
