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

  /** The matrix, both triangles. */
  finish(): Float32Array {
    if (this.#count > 0) {
      this.#addBatch();
    }
    const n = this.#n;
    const sums = this.#products.values.slice(this.#sums, this.#sums + n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < i; j++) {
        sums[i * n + j] = sums[j * n + i]!;
      }
    }
    return sums;
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
    for (let i = 0; i < n; i += packedRows) {
      const tile = i - (i % productColumns);
      const from = this.#tiles + tile * batchRows + (i - tile);
      for (let t = 0; t < count; t++) {
        for (let k = 0; k < packedRows; k++) {
          values[this.#packed + packedRows * t + k] = values[from + productColumns * t + k]!;
        }
      }
      this.#products.add(
        this.#packed,
        count,
        this.#tiles + tile * batchRows,
        productColumns * batchRows,
        n - tile,
        this.#sums + i * n + tile,
        n,
      );
    }
    this.#count = 0;
  }
}
