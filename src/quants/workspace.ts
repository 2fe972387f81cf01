/**
 * The memory and the operations of one thread that encodes: buffers for a batch of rows, and the steps on them.
 * With kernels the buffers lie in the kernels' memory and a step is a call into WebAssembly where a kernel for
 * the type exists; without, or where none exists, it is the TypeScript reference on the same buffers.
 */
import { decodeRows, encodeRows } from "./codec.js";
import type { Effort } from "./effort.js";
import type { Kernels } from "./kernels/kernels.js";
import { isFiniteRows, measureRows } from "./measure.js";
import { Refiner } from "./output-aware/refine.js";
import type { TypeName } from "./types.js";

/** Buffers start at multiples of this, a cache line. */
const alignment = 64;

export class Workspace {
  /** Rows in the source type. */
  source = new Uint8Array();
  /** The same as float32. */
  weights = new Float32Array();
  /** One value per column, the largest in [1, 2); all 1 if the columns matter alike. */
  importance = new Float32Array();
  /** Rows in the target type. */
  encoded = new Uint8Array();
  /** The same as float32. */
  decoded = new Float32Array();
  /** Per row: energy, loss and error, as in `Statistics`. */
  sums = new Float64Array();

  #own = new ArrayBuffer(0);
  #latestRefiner: Refiner | undefined;

  readonly #kernels?: Kernels;

  constructor(kernels?: Kernels) {
    this.#kernels = kernels;
  }

  /** Makes room for batches of `rows` rows. Earlier contents are lost, earlier views invalid. */
  arrange(columns: number, rows: number, sourceRow: number, targetRow: number): void {
    const sizes = [
      rows * sourceRow,
      4 * rows * columns,
      4 * columns,
      rows * targetRow,
      4 * rows * columns,
      24 * rows,
    ].map((size) => Math.ceil(size / alignment) * alignment);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const [memory, base] = this.#room(total, columns);

    const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + size, base));
    this.source = new Uint8Array(memory, starts[0], rows * sourceRow);
    this.weights = new Float32Array(memory, starts[1], rows * columns);
    this.importance = new Float32Array(memory, starts[2], columns);
    this.encoded = new Uint8Array(memory, starts[3], rows * targetRow);
    this.decoded = new Float32Array(memory, starts[4], rows * columns);
    this.sums = new Float64Array(memory, starts[5], 3 * rows);
  }

  /** Decodes whole blocks. All arrays given to this and the other steps are views of the buffers above. */
  decode(type: TypeName, bytes: Uint8Array, out: Float32Array): void {
    const kernel = this.#kernels?.decoder(type);
    if (kernel) {
      kernel(bytes.byteOffset, out.byteOffset, out.length);
    } else {
      decodeRows(type, bytes, out);
    }
  }

  /** Encodes rows; `importance` undefined: all columns matter alike. */
  encode(
    type: TypeName,
    weights: Float32Array,
    columns: number,
    importance: Float32Array | undefined,
    effort: Effort,
    out: Uint8Array,
  ): void {
    const kernel = this.#kernels?.encoder(type);
    if (kernel) {
      const rows = weights.length / columns;
      kernel(weights.byteOffset, importance?.byteOffset ?? 0, out.byteOffset, rows, columns, effort);
    } else {
      encodeRows(type, weights, columns, importance, out, effort);
    }
  }

  /** Encodes rows again with the inputs' second moments. */
  get refiner(): Refiner {
    this.#latestRefiner ??= new Refiner();
    return this.#latestRefiner;
  }

  /** Whether no weight is infinite or NaN. */
  isFinite(weights: Float32Array): boolean {
    return this.#kernels?.isFinite(weights) ?? isFiniteRows(weights);
  }

  /** Compares rows with what was decoded from their encoding, weighted by `this.importance`; fills `sums`. */
  measure(weights: Float32Array, decoded: Float32Array, columns: number): void {
    if (this.#kernels?.measure(weights, decoded, this.importance, columns, this.sums)) {
      return;
    }
    measureRows(weights, decoded, this.importance, columns, this.sums);
  }

  #room(bytes: number, columns: number): [ArrayBuffer, base: number] {
    if (this.#kernels) {
      return this.#kernels.room(bytes, columns);
    }
    if (this.#own.byteLength < bytes) {
      this.#own = new ArrayBuffer(bytes);
    }
    return [this.#own, 0];
  }
}
