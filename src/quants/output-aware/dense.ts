/**
 * Dense linear algebra in blocks of 64, for the factors of wide inputs: the products of blocks run in SIMD
 * (`assembly/product.ts`) in float32, the triangles on the diagonal in float64. About twenty times the speed of the
 * plain functions in `linear-algebra.ts`, which say what is computed.
 */
import { Heap } from "../../wasm/heap.js";
import { choleskyReversed, invertUpper } from "./linear-algebra.js";

const blockSize = 64;

type PackRows = (rows: number, stride: number, count: number, packed: number) => void;

type AddProduct = (
  packed: number,
  count: number,
  tiles: number,
  tileStride: number,
  columns: number,
  out: number,
  outStride: number,
) => void;

/** Square matrices of one size in the memory of an instance of its own; n is a multiple of 64. */
export class Dense {
  readonly #packRows: PackRows;
  readonly #addProduct: AddProduct;
  readonly #buffer: ArrayBuffer;
  readonly #first: number;
  /** Where four rows are packed. */
  readonly #rows: number;
  /** The block of columns that products are with, in tiles of eight columns. */
  readonly #tiles: Float32Array;
  /** Columns of a block, n rows. */
  readonly #column: Float32Array;

  readonly #n: number;

  constructor(module: WebAssembly.Module, n: number, matrices: number) {
    this.#n = n;
    const heap = new Heap(module);
    const { exports, base } = heap;
    this.#packRows = exports.pack_rows as PackRows;
    this.#addProduct = exports.add_product as AddProduct;
    this.#buffer = heap.reserve(4 * n * (n * matrices + 2 * blockSize + 4));
    this.#tiles = new Float32Array(this.#buffer, base, n * blockSize);
    this.#column = new Float32Array(this.#buffer, base + 4 * n * blockSize, n * blockSize);
    this.#rows = base + 8 * n * blockSize;
    this.#first = this.#rows + 16 * n;
  }

  /** Matrix number i, row after row. */
  matrix(i: number): Float32Array {
    return new Float32Array(this.#buffer, this.#first + 4 * i * this.#n * this.#n, this.#n * this.#n);
  }

  /** Replaces a by R, upper triangular with R R^T = a. Below the diagonal a keeps what it had. */
  choleskyReversed(a: Float32Array): void {
    const n = this.#n;
    const column = this.#column;
    for (let from = n - blockSize; from >= 0; from -= blockSize) {
      const to = from + blockSize;
      this.#pack(n - to, (k, j) => -a[(from + j) * n + to + k]!);
      this.#multiply({ a, aStride: n, to, start: to, count: n - to, out: a, at: from, outStride: n });
      const triangle = choleskyReversed(this.#diagonal(a, from), blockSize);
      const inverse = invertUpper(triangle, blockSize);
      for (let i = 0; i < from; i++) {
        const part = a.subarray(i * n + from, i * n + to);
        column.set(part, i * blockSize);
        part.fill(0);
      }
      this.#pack(blockSize, (k, j) => inverse[j * blockSize + k]!);
      this.#multiply({
        a: column,
        aStride: blockSize,
        to: from,
        start: 0,
        count: blockSize,
        out: a,
        at: from,
        outStride: n,
      });
      for (let i = 0; i < blockSize; i++) {
        for (let j = i; j < blockSize; j++) {
          a[(from + i) * n + from + j] = triangle[i * blockSize + j]!;
        }
      }
    }
  }

  /** Writes the inverse of an upper triangular matrix to `out`, which is all zero. */
  invertUpper(r: Float32Array, out: Float32Array): void {
    const n = this.#n;
    const column = this.#column;
    for (let from = 0; from < n; from += blockSize) {
      const diagonal = this.#diagonal(r, from);
      for (let i = 0; i < blockSize; i++) {
        diagonal.fill(0, i * blockSize, i * blockSize + i);
      }
      const inverse = invertUpper(diagonal, blockSize);
      for (let i = 0; i < blockSize; i++) {
        for (let j = i; j < blockSize; j++) {
          out[(from + i) * n + from + j] = inverse[i * blockSize + j]!;
        }
      }
      if (from === 0) {
        continue;
      }
      this.#pack(from, (k, j) => r[k * n + from + j]!);
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
        this.#multiply({ a: out, aStride: n, ...part, out: column, at: 0, outStride: blockSize });
      }
      this.#pack(blockSize, (k, j) => -inverse[k * blockSize + j]!);
      this.#multiply({
        a: column,
        aStride: blockSize,
        to: from,
        start: 0,
        count: blockSize,
        out,
        at: from,
        outStride: n,
      });
    }
  }

  /**
   * The upper half of t^T t, for an upper triangular t.
   * @param transposed gets t^T
   * @param out all zero
   */
  square(t: Float32Array, transposed: Float32Array, out: Float32Array): void {
    const n = this.#n;
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < n; k++) {
        transposed[i * n + k] = t[k * n + i]!;
      }
    }
    for (let from = 0; from < n; from += blockSize) {
      this.#pack(from + blockSize, (k, j) => t[k * n + from + j]!);
      for (let row = 0; row < from + blockSize; row += blockSize) {
        // Column k of t^T is zero for rows above k.
        const part = {
          from: row,
          to: row + blockSize,
          start: 0,
          count: row + blockSize,
          packed: from + blockSize,
        };
        this.#multiply({ a: transposed, aStride: n, ...part, out, at: from, outStride: n });
      }
    }
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

  /** Puts a block of 64 columns and `rows` rows into tiles. */
  #pack(rows: number, value: (row: number, column: number) => number): void {
    const tiles = this.#tiles;
    for (let tile = 0; tile < blockSize / 8; tile++) {
      for (let k = 0; k < rows; k++) {
        const at = 8 * (tile * rows + k);
        for (let j = 0; j < 8; j++) {
          tiles[at + j] = value(k, 8 * tile + j);
        }
      }
    }
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
      this.#packRows(a.byteOffset + 4 * (row * aStride + start), 4 * aStride, count, this.#rows);
      this.#addProduct(
        this.#rows,
        count,
        this.#tiles.byteOffset + 32 * skip,
        32 * packed,
        blockSize,
        out.byteOffset + 4 * (row * outStride + at),
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
