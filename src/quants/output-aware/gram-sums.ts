/**
 * Sums of outer products, a batch of vectors at a time, in the memory of products. The order of additions, and so every
 * bit, depends on the vectors alone.
 */
import { type Products, packedRows, productColumns } from "./products.js";

/** Vectors that are handled at a time. */
export const batchRows = 128;

/** Places of regions of these sizes one after the other, and of the end. */
export function placesOf(...sizes: number[]): number[] {
  const places = [0];
  for (const size of sizes) {
    places.push((places.at(-1) ?? 0) + Math.ceil(size / 16) * 16);
  }
  return places;
}

/** A batch of vectors and the rows of sums that it is added to, in the memory of products. */
interface GramBatch {
  /** The batch in tiles of eight columns, `batchRows` vectors each. */
  readonly tiles: number;
  /** Where four columns are packed. */
  readonly packed: number;
  /** Sums of row `first`, from its own column on; rows of that length follow one another. */
  readonly sums: number;
  readonly n: number;
  /** An even number. */
  readonly vectors: number;
  /** Rows whose upper triangle is wanted; multiples of eight. */
  readonly first: number;
  readonly end: number;
}

/** Adds the products of a batch's columns to some rows of the sums. */
export function addGram(products: Products, batch: GramBatch): void {
  const { tiles, packed, sums, n, vectors, first, end } = batch;
  const stride = n - first;
  for (let i = first; i < end; i += packedRows) {
    const tile = i - (i % productColumns);
    products.packColumns(tiles + tile * batchRows + (i - tile), productColumns, vectors, packed);
    products.add(
      packed,
      vectors,
      tiles + tile * batchRows,
      productColumns * batchRows,
      n - tile,
      sums + (i - first) * stride + tile - first,
      stride,
    );
  }
}
