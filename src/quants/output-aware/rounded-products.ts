/**
 * Products of matrices in 16-bit whole numbers, in SIMD (`assembly/rounded-product.ts`) or with the same results in
 * TypeScript. Sums of products are whole numbers below 2^31, so their order does not matter. All operands lie in one
 * memory and are named by their place in it, in bytes, a multiple of 16.
 *
 * A matrix lies in tiles of eight columns, (tile, pair of rows, column, row of the pair); the rows that it is multiplied
 * with are packed, four at a time, (pair of columns, row, column of the pair).
 */
import { Heap } from "../../wasm/heap.js";
import { packedRows, productColumns } from "./products.js";

/** Length of a column of a batch in whole numbers. */
const columnLength = 46000;

/** The largest whole number of 16 bits. */
export const largestWhole = 32767;

/** Four packed rows times a matrix, by their places in the memory. */
export interface ScaledProduct {
  readonly packed: number;
  /** Pairs of columns of the rows. */
  readonly pairs: number;
  /** First tile of the wanted columns, and bytes from one tile to the next. */
  readonly tiles: number;
  readonly tileStride: number;
  /** Columns of the matrix, a multiple of 8. */
  readonly columns: number;
  /** Four factors of the rows, and those of the columns, in float32. */
  readonly rowFactors: number;
  readonly columnFactors: number;
  /** The first row that the sums are added to, in float32, and bytes from one row to the next. */
  readonly out: number;
  readonly outStride: number;
}

type Kernel = (...numbers: number[]) => void;

export class RoundedProducts {
  readonly #heap: Heap | undefined;
  #memory: { readonly buffer: ArrayBuffer; readonly base: number } = { buffer: new ArrayBuffer(0), base: 0 };

  /** Without a module the results are the same, and late. */
  constructor(module: WebAssembly.Module | undefined) {
    this.#heap = module && new Heap(module);
  }

  /** Makes room for so many bytes. What was there before is lost, and so are arrays that show it. */
  reserve(bytes: number): void {
    if (this.#heap) {
      this.#memory = { buffer: this.#heap.reserve(bytes), base: this.#heap.base };
    } else if (bytes > this.#memory.buffer.byteLength) {
      this.#memory = { buffer: new ArrayBuffer(bytes), base: 0 };
    }
  }

  /** Part of the memory. */
  floats(place: number, count: number): Float32Array {
    return new Float32Array(this.#memory.buffer, this.#memory.base + place, count);
  }

  /** Part of the memory. */
  wholes(place: number, count: number): Int16Array {
    return new Int16Array(this.#memory.buffer, this.#memory.base + place, count);
  }

  /**
   * Rounds a batch of vectors, each column times a factor of its own, and puts them into tiles.
   * @param vectors place of `rows` rows of `columns` values; rows are a multiple of 2, columns of 8
   * @param inverses place of what the whole numbers of each column are to be multiplied by
   */
  roundBatch(vectors: number, rows: number, columns: number, tiles: number, inverses: number): void {
    if (this.#heap) {
      const { base } = this.#memory;
      const round = this.#heap.exports.round_batch as Kernel;
      round(base + vectors, rows, columns, base + tiles, base + inverses);
      return;
    }
    const { fround } = Math;
    const values = this.floats(vectors, rows * columns);
    const wholes = this.wholes(tiles, rows * columns);
    const factors = this.floats(inverses, columns);
    for (let column = 0; column < columns; column++) {
      let [largest, square] = [0, 0];
      for (let at = column; at < values.length; at += columns) {
        largest = Math.max(largest, Math.abs(values[at]!));
        square = fround(square + fround(values[at]! * values[at]!));
      }
      const byLength = fround(fround(Math.sqrt(square)) / columnLength);
      const inverse = Math.max(fround(largest / largestWhole), byLength);
      const factor = inverse > 0 ? fround(1 / inverse) : 0;
      factors[column] = inverse;
      for (let row = 0; row < rows; row++) {
        const value = nearestEven(fround(values[row * columns + column]! * factor));
        const tile = (column - (column % productColumns)) * rows + (row - (row % 2)) * productColumns;
        wholes[tile + 2 * (column % productColumns) + (row % 2)] = Math.max(
          -largestWhole - 1,
          Math.min(largestWhole, value),
        );
      }
    }
  }

  /** Packs the first or second four columns of a tile, as if they were rows of the transpose. */
  packTile(tile: number, half: 0 | 1, pairs: number, packed: number): void {
    if (this.#heap) {
      const { base } = this.#memory;
      (this.#heap.exports.pack_tile as Kernel)(base + tile + 16 * half, pairs, base + packed);
      return;
    }
    const from = this.wholes(tile, 16 * pairs);
    const to = this.wholes(packed, 8 * pairs);
    for (let i = 0; i < 8 * pairs; i++) {
      to[i] = from[16 * Math.floor(i / 8) + 8 * half + (i % 8)]!;
    }
  }

  /** Adds four packed rows times a matrix, times the factors of row and column, to four rows of `out`. */
  add(product: ScaledProduct): void {
    const { packed, pairs, tiles, tileStride, columns, rowFactors, columnFactors, out, outStride } = product;
    if (this.#heap) {
      const { base } = this.#memory;
      (this.#heap.exports.add_scaled_product as Kernel)(
        base + packed,
        pairs,
        base + tiles,
        tileStride,
        columns,
        base + rowFactors,
        base + columnFactors,
        base + out,
        outStride,
      );
      return;
    }
    const { fround } = Math;
    const rows = this.wholes(packed, 8 * pairs);
    const ofRows = this.floats(rowFactors, packedRows);
    const ofColumns = this.floats(columnFactors, columns);
    for (let column = 0; column < columns; column++) {
      const tile = this.wholes(tiles + Math.floor(column / productColumns) * tileStride, 16 * pairs);
      for (let row = 0; row < packedRows; row++) {
        let sum = 0;
        for (let k = 0; k < 2 * pairs; k++) {
          const pair = Math.floor(k / 2);
          sum += rows[8 * pair + 2 * row + (k % 2)]! * tile[16 * pair + 2 * (column % 8) + (k % 2)]!;
        }
        const to = this.floats(out + row * outStride + 4 * column, 1);
        to[0] = fround(to[0]! + fround(fround(ofRows[row]! * fround(sum)) * ofColumns[column]!));
      }
    }
  }
}

/** Rounds to the nearest whole number, and halves to even ones. */
function nearestEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}
