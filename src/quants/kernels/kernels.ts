/**
 * The SIMD kernels as TypeScript sees them: one WebAssembly module, instantiated once per thread, whose memory
 * holds the module's tables, then the buffers of the thread's workspace, then scratch space. How to add a
 * kernel: README.md beside this file.
 */
import { Heap } from "../../wasm/heap.js";
import { type Effort, efforts } from "../effort.js";
import type { TypeName } from "../types.js";
import { tables } from "./tables.js";

/** decode_<type>(source, out, count): decodes the blocks of `count` weights. */
type DecodeKernel = (source: number, out: number, count: number) => void;

/** encode_<type>(source, importance or 0, out, rows, columns, effort, scratch): encodes whole rows. */
type EncodeKernel = (
  source: number,
  importance: number,
  out: number,
  rows: number,
  columns: number,
  effort: number,
  scratch: number,
) => void;

/** Encodes whole rows; `importance` is an address or 0. */
type Encoder = (
  source: number,
  importance: number,
  out: number,
  rows: number,
  columns: number,
  effort: Effort,
) => void;

/** Scratch space that every encode kernel may use, from its `scratch` address on. */
function scratchBytes(columns: number): number {
  return 65536 + 64 * columns;
}

/** An instance of the kernels. Not for use by two threads at once. */
export class Kernels {
  readonly #heap: Heap;
  readonly #isRight: (name: string) => boolean;
  #scratch = 0;

  /** @param isRight whether a kernel, by its exported name, may be used */
  constructor(module: WebAssembly.Module, isRight: (name: string) => boolean) {
    this.#heap = new Heap(module);
    this.#isRight = isRight;
    const { exports, buffer } = this.#heap;
    for (const [name, table] of Object.entries(tables)) {
      const address = (exports[name] as { value: number }).value;
      new Uint8Array(buffer).set(new Uint8Array(table.buffer, table.byteOffset, table.byteLength), address);
    }
    for (const [name, prepare] of Object.entries(exports)) {
      if (name.startsWith("prepare_")) {
        (prepare as () => void)();
      }
    }
  }

  /**
   * Memory for `bytes` of buffers, beginning at `base`, with scratch space for rows of `columns` behind them. Room
   * given earlier is no longer valid.
   */
  room(bytes: number, columns: number): [memory: ArrayBuffer, base: number] {
    const buffers = Math.ceil(bytes / 64) * 64;
    this.#scratch = this.#heap.base + buffers;
    return [this.#heap.reserve(buffers + scratchBytes(columns)), this.#heap.base];
  }

  decoder(type: TypeName): DecodeKernel | undefined {
    return this.#kernel(`decode_${type.toLowerCase()}`) as DecodeKernel | undefined;
  }

  encoder(type: TypeName): Encoder | undefined {
    const kernel = this.#kernel(`encode_${type.toLowerCase()}`) as EncodeKernel | undefined;
    return (
      kernel &&
      ((source, importance, out, rows, columns, effort) =>
        kernel(source, importance, out, rows, columns, efforts.indexOf(effort), this.#scratch))
    );
  }

  /** Whether all of the weights, which lie in the kernels' memory, are finite; undefined without such a kernel. */
  isFinite(weights: Float32Array): boolean | undefined {
    const kernel = this.#kernel("is_finite") as ((weights: number, count: number) => number) | undefined;
    return kernel && kernel(weights.byteOffset, weights.length) !== 0;
  }

  /** `measureRows` on views of the kernels' memory; false without a kernel that can. */
  measure(
    weights: Float32Array,
    decoded: Float32Array,
    importance: Float32Array,
    columns: number,
    sums: Float64Array,
  ): boolean {
    const kernel = this.#kernel("measure") as ((...addressesAndSizes: number[]) => void) | undefined;
    if (!kernel || columns % 4 !== 0) {
      return false;
    }
    const rows = weights.length / columns;
    kernel(weights.byteOffset, decoded.byteOffset, importance.byteOffset, rows, columns, sums.byteOffset);
    return true;
  }

  /** Undefined if there is none, or it must not be used. */
  #kernel(name: string): unknown {
    const kernel = this.#heap.exports[name];
    return kernel !== undefined && this.#isRight(name) ? kernel : undefined;
  }
}
