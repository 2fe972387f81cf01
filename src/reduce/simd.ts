/** The reductions in WebAssembly SIMD (`assembly/index.ts`). Its memory is apart, so rows are copied into it. */
import { Heap } from "../wasm/heap.js";
import type { Reducer, RowComparison, RowScore } from "./reducer.js";

interface Exports {
  add_squares(sums: number, rows: number, entries: number, count: number, columns: number): void;
  max(values: number, count: number): number;
  index_of(values: number, count: number, wanted: number): number;
  sum_exp(values: number, count: number, max: number): number;
  sum_weighted_difference(p: number, q: number, count: number, max: number): number;
}

/** Rows are filled up to a multiple of this, which the loops take at once. */
const stepMark = 16;
/** Values of rows that are copied at once, unless a single row is longer: 16 MiB. */
const rowsLimit = 2 ** 22;

export class SimdReducer implements Reducer {
  readonly #heap: Heap;
  readonly #exports: Exports;
  /** The workspace behind the module's own data. */
  #memory = new Float32Array(0);

  constructor(module: WebAssembly.Module) {
    this.#heap = new Heap(module);
    this.#exports = this.#heap.exports as unknown as Exports;
  }

  scoreRow(logits: Float32Array): RowScore {
    this.#reserve(padded(logits.length));
    return this.#score(0, logits);
  }

  compareRows(reference: Float32Array, logits: Float32Array): RowComparison {
    const length = padded(logits.length);
    this.#reserve(2 * length);
    const first = this.#score(0, reference);
    const score = this.#score(length, logits);
    const max = reference[first.top] ?? Number.NaN;
    const difference = this.#exports.sum_weighted_difference(
      this.#address(0),
      this.#address(length),
      length,
      max,
    );
    const mean = difference * Math.exp(max - first.logSumExp);
    return { reference: first, score, divergence: mean - first.logSumExp + score.logSumExp };
  }

  addSquares(sums: Float32Array, rows: Float32Array, columns: number, entries: Uint32Array): void {
    const sumsAt = 0;
    const entriesAt = padded(sums.length);
    const rowsAt = entriesAt + padded(entries.length);
    this.#reserve(rowsAt + Math.max(padded(columns), Math.min(padded(rows.length), rowsLimit)));
    this.#memory.set(sums, sumsAt);
    const capacity = this.#memory.length - rowsAt;
    for (let begin = 0; begin < entries.length; ) {
      const block = nextBlock(entries, begin, columns, capacity);
      this.#memory.set(rows.subarray(block.first, block.last), rowsAt);
      const words = new Uint32Array(this.#memory.buffer, this.#address(entriesAt), block.end - begin);
      for (let index = 0; index < words.length; index += 2) {
        words[index] = (entries[begin + index] as number) - block.first;
        words[index + 1] = entries[begin + index + 1] as number;
      }
      const count = (block.end - begin) / 2;
      const addresses = [sumsAt, rowsAt, entriesAt].map((at) => this.#address(at)) as [
        number,
        number,
        number,
      ];
      this.#exports.add_squares(...addresses, count, columns);
      begin = block.end;
    }
    sums.set(this.#memory.subarray(sumsAt, sumsAt + sums.length));
  }

  /** Copies a row to an area and scores it. */
  #score(at: number, logits: Float32Array): RowScore {
    const { max, index_of, sum_exp } = this.#exports;
    const length = padded(logits.length);
    this.#memory.set(logits, at);
    this.#memory.fill(Number.NEGATIVE_INFINITY, at + logits.length, at + length);
    const address = this.#address(at);
    const highest = max(address, length);
    if (!Number.isFinite(highest)) {
      return { top: 0, logSumExp: Number.NaN };
    }
    return {
      top: index_of(address, length, highest),
      logSumExp: highest + Math.log(sum_exp(address, length, highest)),
    };
  }

  #address(at: number): number {
    return this.#heap.base + 4 * at;
  }

  /** Makes room for a number of values. */
  #reserve(values: number): void {
    if (values <= this.#memory.length) {
      return;
    }
    this.#memory = new Float32Array(this.#heap.reserve(4 * values), this.#heap.base, values);
  }
}

function padded(length: number): number {
  return stepMark * Math.ceil(length / stepMark);
}

/** As many entries as have their rows within a span of `capacity` values; at least one. */
function nextBlock(
  entries: Uint32Array,
  begin: number,
  columns: number,
  capacity: number,
): { end: number; first: number; last: number } {
  let first = entries[begin] as number;
  let last = first + columns;
  let end = begin + 2;
  for (; end < entries.length; end += 2) {
    const source = entries[end] as number;
    const lower = Math.min(first, source);
    const upper = Math.max(last, source + columns);
    if (upper - lower > capacity) {
      break;
    }
    first = lower;
    last = upper;
  }
  return { end, first, last };
}
