/** Matrices as models store them, decoded for products. */
import { decodeRows } from "../codec.js";
import type { TypeName } from "../types.js";
import { productColumns } from "./products.js";

/** A matrix as the source stores it. */
export interface StoredMatrix {
  readonly type: TypeName;
  /** Row after row. */
  readonly bytes: Uint8Array;
  /** Added to its products, one for each row. */
  readonly bias?: Float32Array | undefined;
}

/** Decodes a matrix of `width` rows of `d` values and puts its transpose into tiles (`products.ts`). */
export function putTiles(
  values: Float32Array,
  tiles: number,
  matrix: Pick<StoredMatrix, "type" | "bytes">,
  width: number,
  d: number,
): void {
  const row = new Float32Array(d);
  const rowBytes = matrix.bytes.byteLength / width;
  for (let j = 0; j < width; j++) {
    decodeRows(matrix.type, matrix.bytes.subarray(j * rowBytes, (j + 1) * rowBytes), row);
    const at = tiles + (j - (j % productColumns)) * d + (j % productColumns);
    for (let k = 0; k < d; k++) {
      values[at + productColumns * k] = row[k]!;
    }
  }
}
