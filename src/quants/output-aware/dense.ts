/**
 * Dense linear algebra in blocks of 64, for the factors of wide inputs: the products of blocks run in SIMD
 * (`assembly/product.ts`) in float32, the triangles on the diagonal in float64. About twenty times the speed of the
 * plain functions in `linear-algebra.ts`, which say what is computed. Everything happens in place.
 */
import type { Heap } from "../../wasm/heap.js";
import { choleskyReversed, invertUpper } from "./linear-algebra.js";

const blockSize = 64;

type AddProduct = (
  packed: number,
  count: number,
  tiles: number,
  tileStride: number,
  columns: number,
  out: number,
  outStride: number,
) => void;

/** Rearranges `count` rows or columns; rows are `stride` bytes apart. */
type Pack = (from: number, stride: number, count: number, packed: number) => void;

/** Square matrices of one size in the memory of an instance; n is a multiple of 64. */
export class Dense {
  readonly #packRows: Pack;
  readonly #packColumns: Pack;
  readonly #fillTiles: Pack;
  readonly #fillTilesAcross: Pack;
  readonly #takeColumns: Pack;
  readonly #addProduct: AddProduct;
  /** The block of columns that products are with, in tiles of eight columns. */
  readonly #tiles: Float32Array;
  /** Columns of a block, n rows. */
  readonly #column: Float32Array;
  /** Where four rows are packed. */
  readonly #packed: number;

  readonly #n: number;

  /** Values of memory that it needs besides the matrices. */
  static size(n: number): number {
    return n * (2 * blockSize + 4);
  }

  /** @param at where its own memory begins, in bytes; a multiple of 64 */
  constructor({ exports, buffer }: Pick<Heap, "exports" | "buffer">, at: number, n: number) {
    this.#n = n;
    this.#packRows = exports.pack_rows as Pack;
    this.#packColumns = exports.pack_columns as Pack;
    this.#fillTiles = exports.fill_tiles as Pack;
    this.#fillTilesAcross = exports.fill_tiles_across as Pack;
    this.#takeColumns = exports.take_columns as Pack;
    this.#addProduct = exports.add_product as AddProduct;
    this.#tiles = new Float32Array(buffer, at, n * blockSize);
    this.#column = new Float32Array(buffer, at + 4 * n * blockSize, n * blockSize);
    this.#packed = at + 8 * n * blockSize;
  }

  /** Replaces the upper triangle of a by R, upper triangular with R R^T = a. Below the diagonal a keeps what it had. */
  choleskyReversed(a: Float32Array): void {
    const n = this.#n;
    for (let from = n - blockSize; from >= 0; from -= blockSize) {
      const to = from + blockSize;
      const rest = n - to;
      this.#fillTilesAcross(this.#place(a, from, to), 4 * n, rest, this.#tiles.byteOffset);
      this.#multiply({ a, aStride: n, to, start: to, count: rest, out: a, at: from, outStride: n });
      const triangle = choleskyReversed(this.#diagonal(a, from), blockSize);
      const inverse = invertUpper(triangle, blockSize);
      this.#takeColumns(this.#place(a, 0, from), 4 * n, from, this.#column.byteOffset);
      this.#tile((k, j) => inverse[j * blockSize + k]!);
      this.#multiplyColumn(from, a);
      this.#setTriangle(a, from, triangle);
    }
  }

  /** Replaces an upper triangular matrix by its inverse. What is below the diagonal becomes zero within its blocks. */
  invertUpper(r: Float32Array): void {
    const n = this.#n;
    const column = this.#column;
    for (let from = 0; from < n; from += blockSize) {
      const diagonal = this.#diagonal(r, from);
      for (let i = 0; i < blockSize; i++) {
        diagonal.fill(0, i * blockSize, i * blockSize + i);
      }
      const inverse = invertUpper(diagonal, blockSize);
      this.#fillTiles(this.#place(r, 0, from), 4 * n, from, this.#tiles.byteOffset);
      this.#takeColumns(this.#place(r, 0, from), 4 * n, from + blockSize, column.byteOffset);
      this.#setTriangle(r, from, inverse);
      column.fill(0);
      for (let row = 0; row < from; row += blockSize) {
        // Row by row of blocks, as what is left of the diagonal is zero.
        const part = {
          from: row,
          to: row + blockSize,
          start: row,
          count: from - row,
          packed: from,
          skip: row,
        };
        this.#multiply({ a: r, aStride: n, ...part, out: column, at: 0, outStride: blockSize });
      }
      this.#tile((k, j) => -inverse[k * blockSize + j]!);
      this.#multiplyColumn(from, r);
    }
  }

  /** Replaces t, upper triangular with zeros below within its blocks of 64, by the upper triangle of t^T t. */
  square(t: Float32Array): void {
    const n = this.#n;
    const stride = 4 * n;
    const { byteOffset: tiles } = this.#tiles;
    // From the last column on: rows of t^T are columns of t further left.
    for (let from = n - blockSize; from >= 0; from -= blockSize) {
      const height = from + blockSize;
      this.#fillTiles(this.#place(t, 0, from), stride, height, tiles);
      this.#takeColumns(this.#place(t, 0, from), stride, height, this.#column.byteOffset);
      for (let row = 0; row < height; row += 4) {
        // Column k of t^T is zero for rows above k.
        const count = row - (row % blockSize) + blockSize;
        const own = row >= from;
        const left = own ? this.#place(this.#column, 0, row - from, blockSize) : this.#place(t, 0, row);
        this.#packColumns(left, own ? 4 * blockSize : stride, count, this.#packed);
        this.#addProduct(
          this.#packed,
          count,
          tiles,
          32 * height,
          blockSize,
          this.#place(t, row, from),
          stride,
        );
      }
    }
  }

  #place(a: Float32Array, row: number, column: number, stride = this.#n): number {
    return a.byteOffset + 4 * (row * stride + column);
  }

  #diagonal(a: Float32Array, from: number): Float64Array {
    const block = new Float64Array(blockSize * blockSize);
    for (let i = 0; i < blockSize; i++) {
      for (let j = 0; j < blockSize; j++) {
        block[i * blockSize + j] = a[(from + Math.min(i, j)) * this.#n + from + Math.max(i, j)]!;
      }
    }
    return block;
  }

  /** Writes the upper triangle of a block on the diagonal. */
  #setTriangle(a: Float32Array, from: number, triangle: Float64Array): void {
    for (let i = 0; i < blockSize; i++) {
      for (let j = i; j < blockSize; j++) {
        a[(from + i) * this.#n + from + j] = triangle[i * blockSize + j]!;
      }
    }
  }

  /** Puts a block of 64 rows and columns into tiles. */
  #tile(value: (row: number, column: number) => number): void {
    for (let k = 0; k < blockSize; k++) {
      for (let j = 0; j < blockSize; j++) {
        this.#tiles[(j - (j % 8)) * blockSize + 8 * k + (j % 8)] = value(k, j);
      }
    }
  }

  /** Adds the first `rows` rows of the column of blocks, times the tiles of one block, to the columns from `rows` on. */
  #multiplyColumn(rows: number, out: Float32Array): void {
    const a = { a: this.#column, aStride: blockSize, to: rows, start: 0, count: blockSize };
    this.#multiply({ ...a, out, at: rows, outStride: this.#n });
  }

  /** Rows [from, to) of out += those of a x tiles. */
  #multiply({
    a,
    aStride,
    from = 0,
    to,
    start,
    count,
    packed = count,
    skip = 0,
    out,
    at,
    outStride,
  }: Product): void {
    if (count === 0) {
      return;
    }
    for (let row = from; row < to; row += 4) {
      this.#packRows(this.#place(a, row, start, aStride), 4 * aStride, count, this.#packed);
      this.#addProduct(
        this.#packed,
        count,
        this.#tiles.byteOffset + 32 * skip,
        32 * packed,
        blockSize,
        this.#place(out, row, at, outStride),
        4 * outStride,
      );
    }
  }
}

/** A product with the tiles. */
interface Product {
  /** Columns [start, start + count) of its rows, which are `aStride` long. */
  readonly a: Float32Array;
  readonly aStride: number;
  readonly start: number;
  readonly count: number;
  readonly from?: number;
  readonly to: number;
  /** Rows that a tile has, if more than `count`, and how many of them come before. */
  readonly packed?: number;
  readonly skip?: number;
  /** The sums go to columns [at, at + 64) of its rows. */
  readonly out: Float32Array;
  readonly at: number;
  readonly outStride: number;
}
