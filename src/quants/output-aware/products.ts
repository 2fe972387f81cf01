/**
 * Products of matrices in float32, in SIMD (`assembly/product.ts`) or with the same additions in TypeScript. All
 * operands lie in one memory and are named by their place in it.
 *
 * A matrix lies in tiles of eight columns, (tile, row, column); the rows that it is multiplied with are packed, four at
 * a time, (column, row).
 */
import { Heap } from "../../wasm/heap.js";

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

/** Columns of a tile. */
export const productColumns = 8;

/** Rows that are packed together. */
export const packedRows = 4;

/** Columns of a product that are computed at a time: with 2048 rows, the tiles take half a second-level cache. */
export const columnsTogether = 64;

/** Rows times a matrix, by their places in the memory. */
export interface RowsTimesMatrix {
  /** The first of the rows, which follow one another; those up to a multiple of four are computed too. */
  readonly rows: number;
  readonly rowCount: number;
  /** Columns of the rows, a multiple of 4. */
  readonly count: number;
  /** Where the rows are packed: as much room as they take. */
  readonly packed: number;
  readonly tiles: number;
  /** Columns of the matrix, a multiple of 8. */
  readonly columns: number;
  /** Where the sums are, row after row. */
  readonly out: number;
}

export class Products {
  /** The memory. Another array after each `reserve`. */
  values = new Float32Array();
  readonly #heap: Heap | undefined;

  /** Without a module the results are the same, and late. */
  constructor(module: WebAssembly.Module | undefined) {
    this.#heap = module && new Heap(module);
  }

  /** Makes room for so many values. What was there before is lost. */
  reserve(count: number): void {
    if (count <= this.values.length) {
      return;
    }
    const memory = this.#heap?.reserve(4 * count) ?? new ArrayBuffer(4 * count);
    this.values = new Float32Array(memory, this.#heap?.base ?? 0, count);
  }

  /** Packs four rows, the first at `rows`, of `count` columns, a multiple of 4. */
  pack(rows: number, stride: number, count: number, packed: number): void {
    if (this.#heap) {
      const pack = this.#heap.exports.pack_rows as PackRows;
      pack(this.#address(rows), 4 * stride, count, this.#address(packed));
      return;
    }
    for (let k = 0; k < count; k++) {
      for (let row = 0; row < packedRows; row++) {
        this.values[packed + packedRows * k + row] = this.values[rows + row * stride + k]!;
      }
    }
  }

  /** Packs four columns, as if they were rows of the transpose: `count` rows, `stride` values apart. */
  packColumns(columns: number, stride: number, count: number, packed: number): void {
    if (this.#heap) {
      const pack = this.#heap.exports.pack_columns as PackRows;
      pack(this.#address(columns), 4 * stride, count, this.#address(packed));
      return;
    }
    for (let k = 0; k < count; k++) {
      const from = columns + k * stride;
      this.values.copyWithin(packed + packedRows * k, from, from + packedRows);
    }
  }

  /**
   * Adds four packed rows times a matrix to four rows of `out`.
   * @param count columns of the rows, a multiple of 2
   * @param columns columns of the matrix, a multiple of 8
   */
  add(
    packed: number,
    count: number,
    tiles: number,
    tileStride: number,
    columns: number,
    out: number,
    outStride: number,
  ): void {
    if (this.#heap) {
      const add = this.#heap.exports.add_product as AddProduct;
      const [left, right, to] = [packed, tiles, out].map((place) => this.#address(place)) as [
        number,
        number,
        number,
      ];
      add(left, count, right, 4 * tileStride, columns, to, 4 * outStride);
      return;
    }
    const { fround } = Math;
    const values = this.values;
    for (let row = 0; row < packedRows; row++) {
      for (let column = 0; column < columns; column++) {
        const tile = tiles + Math.floor(column / productColumns) * tileStride + (column % productColumns);
        const at = out + row * outStride + column;
        let sum = values[at]!;
        for (let k = 0; k < count; k++) {
          sum = fround(
            sum + fround(values[packed + packedRows * k + row]! * values[tile + productColumns * k]!),
          );
        }
        values[at] = sum;
      }
    }
  }

  /** Adds rows times a matrix to rows of `out`. */
  addRows({ rows, rowCount, count, packed, tiles, columns, out }: RowsTimesMatrix): void {
    const quads = Math.ceil(rowCount / packedRows);
    for (let quad = 0; quad < quads; quad++) {
      const first = quad * packedRows * count;
      this.pack(rows + first, count, count, packed + first);
    }
    for (let column = 0; column < columns; column += columnsTogether) {
      const together = Math.min(columnsTogether, columns - column);
      for (let quad = 0; quad < quads; quad++) {
        const first = quad * packedRows;
        const to = out + first * columns + column;
        this.add(
          packed + first * count,
          count,
          tiles + column * count,
          productColumns * count,
          together,
          to,
          columns,
        );
      }
    }
  }

  #address(place: number): number {
    return this.values.byteOffset + 4 * place;
  }
}
