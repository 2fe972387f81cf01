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

/** Sums of outer products, a batch at a time, in the memory of products. */
export class GramSums {
  readonly #products: Products;
  readonly #n: number;
  readonly #sums: number;
  readonly #tiles: number;
  readonly #packed: number;
  #count = 0;

  /** `places` begin with those of the sums, of a batch, and of four packed rows, and end with the end. */
  constructor(products: Products, n: number, places: readonly number[]) {
    this.#products = products;
    this.#n = n;
    const [sums = 0, tiles = 0, packed = 0] = places;
    [this.#sums, this.#tiles, this.#packed] = [sums, tiles, packed];
    products.reserve(places.at(-1) ?? 0);
    products.values.fill(0, sums, sums + n * n);
  }

  /** Adds `factor` times the vector at `vectors[start]`. */
  add(vectors: Float32Array, start: number, factor: number): void {
    const { values } = this.#products;
    const first = this.#tiles + this.#count * productColumns;
    for (let i = 0; i < this.#n; i += productColumns) {
      const at = first + i * batchRows;
      for (let k = 0; k < productColumns; k++) {
        values[at + k] = factor * vectors[start + i + k]!;
      }
    }
    this.#count++;
    if (this.#count === batchRows) {
      this.#addBatch();
    }
  }

  /** The upper triangle of the matrix, row after row, in the memory of the products: until their next use. */
  finish(): Float32Array {
    if (this.#count > 0) {
      this.#addBatch();
    }
    return this.#products.values.subarray(this.#sums, this.#sums + this.#n * this.#n);
  }

  #addBatch(): void {
    const n = this.#n;
    const { values } = this.#products;
    // Products take two rows at a time.
    const count = this.#count + (this.#count % 2);
    for (let i = 0; i < n && count > this.#count; i += productColumns) {
      const at = this.#tiles + i * batchRows + this.#count * productColumns;
      values.fill(0, at, at + productColumns);
    }
    const places = { tiles: this.#tiles, packed: this.#packed, sums: this.#sums };
    addGram(this.#products, { ...places, n, vectors: count, first: 0, end: n });
    this.#count = 0;
  }
}
