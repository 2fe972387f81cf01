/**
 * Adding up x x^T over many vectors: they are gathered into a batch, the batch's products are summed in float32 in
 * the order of the vectors (`reduce/assembly/gram.ts`, or the same in TypeScript), and added to the matrix. The
 * order of additions, and so every bit, depends on the batches alone.
 */
import { packedRow } from "../quants/output-aware/packed.js";
import { loadReduceModule } from "../reduce/load.js";
import { Heap } from "../wasm/heap.js";

/** Columns of a panel: vectors are stored panel by panel, so that the product reads memory in order. */
const panel = 8;

type GramKernel = (x: number, tokens: number, panels: number, panel: number, out: number) => void;

/** Sums of outer products, a batch at a time. */
export class Gram {
  readonly #heap: Heap | undefined;
  readonly #kernel: GramKernel | undefined;
  #x = new Float32Array();
  #out = new Float32Array();
  #columns = 0;
  #capacity = 0;
  #count = 0;

  /** Without SIMD (`simd` false, or where there is none) the sums are the same. */
  constructor(simd = true) {
    const reductions = loadReduceModule();
    if (simd && reductions.module && reductions.isRight("gram")) {
      this.#heap = new Heap(reductions.module);
      this.#kernel = this.#heap.exports.gram as GramKernel;
    }
  }

  /** Starts a batch of exactly `capacity` vectors of `columns` values, a multiple of 8. */
  begin(columns: number, capacity: number): void {
    this.#columns = columns;
    this.#capacity = capacity;
    this.#count = 0;
    const bytes = 4 * columns * (capacity + panel);
    const memory = this.#heap?.reserve(bytes) ?? new ArrayBuffer(bytes);
    this.#x = new Float32Array(memory, this.#heap?.base ?? 0, columns * capacity);
    this.#out = new Float32Array(memory, this.#x.byteOffset + this.#x.byteLength, columns * panel);
  }

  /** Adds `factor` times the vector at `values[start]` to the batch. */
  add(values: Float32Array, start: number, factor: number): void {
    const x = this.#x;
    const columns = this.#columns;
    const capacity = this.#capacity;
    const stride = capacity * panel;
    for (let i = 0, at = this.#count * panel; i < columns; i += panel, at += stride) {
      for (let k = 0; k < panel; k++) {
        x[at + k] = factor * (values[start + i + k] as number);
      }
    }
    this.#count++;
  }

  /** Adds the batch's products to a packed matrix (`packed.ts`), and ends the batch. */
  addTo(sums: Float32Array): void {
    const columns = this.#columns;
    const out = this.#out;
    for (let i = 0; i < columns; i += panel) {
      this.#products(i / panel);
      const width = columns - i;
      for (let k = 0; k < panel; k++) {
        const row = packedRow(columns, i + k) - k;
        for (let j = k; j < width; j++) {
          sums[row + j] = (sums[row + j] as number) + (out[k * width + j] as number);
        }
      }
    }
  }

  #products(first: number): void {
    const panels = this.#columns / panel;
    if (this.#kernel) {
      this.#kernel(this.#x.byteOffset, this.#count, panels, first, this.#out.byteOffset);
    } else {
      gramReference(this.#x, this.#count, panels, first, this.#out);
    }
  }
}

/** What the kernel computes, bit for bit. */
export function gramReference(
  x: Float32Array,
  tokens: number,
  panels: number,
  first: number,
  out: Float32Array,
): void {
  const { fround } = Math;
  const stride = tokens * panel;
  const width = (panels - first) * panel;
  for (let i = 0; i < panel; i++) {
    for (let j = 0; j < width; j++) {
      const left = first * stride + i;
      const right = (first + Math.floor(j / panel)) * stride + (j % panel);
      let sum = 0;
      for (let t = 0; t < stride; t += panel) {
        sum = fround(sum + fround((x[left + t] as number) * (x[right + t] as number)));
      }
      out[i * width + j] = sum;
    }
  }
}
