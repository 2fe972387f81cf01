/**
 * Sums of outer products, a batch of vectors at a time, each batch rounded to 16 bits: every column has a factor of its
 * own, so that the largest or the length of its values decides, and an error is some hundred-thousandth of what the sum
 * of a column's squares is. Every bit depends on the vectors and their order alone.
 */
import { packedRows, productColumns } from "./products.js";
import type { RoundedProducts } from "./rounded-products.js";

/** Vectors that are handled at a time: an even number. */
export const roundedBatch = 256;

/** Sums of outer products in the memory of products. */
export class RoundedSums {
  readonly #products: RoundedProducts;
  readonly #n: number;
  readonly #places: RoundedPlaces;
  readonly #vectors: Float32Array;
  #count = 0;

  /** Bytes of each part of the memory for vectors of n values. */
  static sizes(n: number): { readonly [part in keyof RoundedPlaces]: number } {
    return {
      sums: 4 * n * n,
      vectors: 4 * n * roundedBatch,
      tiles: 2 * n * roundedBatch,
      packed: 2 * packedRows * roundedBatch,
      inverses: 4 * n,
    };
  }

  /** @param places of the parts, in memory that is reserved */
  constructor(products: RoundedProducts, n: number, places: RoundedPlaces) {
    this.#products = products;
    this.#n = n;
    this.#places = places;
    products.floats(places.sums, n * n).fill(0);
    this.#vectors = products.floats(places.vectors, n * roundedBatch);
  }

  /** Where the next vector is to be written, before anything else is called. */
  next(): Float32Array {
    if (this.#count === roundedBatch) {
      this.#addBatch();
    }
    const from = this.#count++ * this.#n;
    return this.#vectors.subarray(from, from + this.#n);
  }

  /** The upper triangle of the matrix, row after row, in the memory of the products: until their next use. */
  finish(): Float32Array {
    this.#addBatch();
    return this.#products.floats(this.#places.sums, this.#n * this.#n);
  }

  #addBatch(): void {
    const n = this.#n;
    const { sums, vectors, tiles, packed, inverses } = this.#places;
    const rows = this.#count + (this.#count % 2);
    this.#vectors.fill(0, this.#count * n, rows * n);
    this.#products.roundBatch(vectors, rows, n, tiles, inverses);
    const tileStride = 2 * productColumns * rows;
    for (let i = 0; i < n && rows > 0; i += packedRows) {
      const column = i - (i % productColumns);
      const tile = tiles + (column / productColumns) * tileStride;
      this.#products.packTile(tile, i === column ? 0 : 1, rows / 2, packed);
      this.#products.add({
        packed,
        pairs: rows / 2,
        tiles: tile,
        tileStride,
        columns: n - column,
        rowFactors: inverses + 4 * i,
        columnFactors: inverses + 4 * column,
        out: sums + 4 * (i * n + column),
        outStride: 4 * n,
      });
    }
    this.#count = 0;
  }
}

/** Places of what the sums need. */
interface RoundedPlaces {
  readonly sums: number;
  /** The batch as it comes, and rounded; four of its columns; what whole numbers are multiplied by. */
  readonly vectors: number;
  readonly tiles: number;
  readonly packed: number;
  readonly inverses: number;
}
