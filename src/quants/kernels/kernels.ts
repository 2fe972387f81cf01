/**
 * The SIMD kernels as TypeScript sees them: one WebAssembly module, instantiated once per thread, whose memory
 * holds the module's tables, then the buffers of the thread's workspace, then scratch space. How to add a
 * kernel: README.md beside this file.
 */
import { type Effort, efforts } from "../effort.js";
import type { TypeName } from "../types.js";
import { tables } from "./tables.js";

/** Kernels that passed the self-test, in a form that can be sent to a thread. */
export interface KernelModule {
  readonly module: WebAssembly.Module;
  /** Exports that failed the self-test and must not be used. */
  readonly faulty: readonly string[];
}

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

const pageBytes = 65536;

/** Scratch space that every encode kernel may use, from its `scratch` address on. */
function scratchBytes(columns: number): number {
  return pageBytes + 64 * columns;
}

/** An instance of the kernels. Not for use by two threads at once. */
export class Kernels {
  readonly #exports: Record<string, unknown>;
  readonly #memory: WebAssembly.Memory;
  /** First byte behind the module's own tables. */
  readonly #base: number;
  #scratch = 0;

  constructor({ module, faulty }: KernelModule) {
    const instance = new WebAssembly.Instance(module);
    this.#exports = Object.fromEntries(
      Object.entries(instance.exports).filter(([name]) => !faulty.includes(name)),
    );
    this.#memory = instance.exports.memory as WebAssembly.Memory;
    this.#base = Math.ceil((instance.exports.heap_base as () => number)() / 64) * 64;
    for (const [name, table] of Object.entries(tables)) {
      const address = (instance.exports[name] as { value: number }).value;
      const bytes = new Uint8Array(table.buffer, table.byteOffset, table.byteLength);
      new Uint8Array(this.#memory.buffer).set(bytes, address);
    }
    for (const [name, prepare] of Object.entries(instance.exports)) {
      if (name.startsWith("prepare_")) {
        (prepare as () => void)();
      }
    }
  }

  /** Names of the exported kernels, in alphabetical order. */
  names(): string[] {
    return Object.keys(this.#exports)
      .filter((name) => /^(decode|encode)_|^(is_finite|measure)$/.test(name))
      .sort();
  }

  /**
   * Memory for `bytes` of buffers, beginning at `base`, with scratch space for rows of `columns` behind them. Room
   * given earlier is no longer valid.
   */
  room(bytes: number, columns: number): [memory: ArrayBuffer, base: number] {
    this.#scratch = Math.ceil((this.#base + bytes) / 64) * 64;
    const missing = this.#scratch + scratchBytes(columns) - this.#memory.buffer.byteLength;
    if (missing > 0) {
      this.#memory.grow(Math.ceil(missing / pageBytes));
    }
    return [this.#memory.buffer, this.#base];
  }

  decoder(type: TypeName): DecodeKernel | undefined {
    return this.#exports[`decode_${type.toLowerCase()}`] as DecodeKernel | undefined;
  }

  encoder(type: TypeName): Encoder | undefined {
    const kernel = this.#exports[`encode_${type.toLowerCase()}`] as EncodeKernel | undefined;
    return (
      kernel &&
      ((source, importance, out, rows, columns, effort) =>
        kernel(source, importance, out, rows, columns, efforts.indexOf(effort), this.#scratch))
    );
  }

  /** Whether all of the weights, which lie in the kernels' memory, are finite; undefined without such a kernel. */
  isFinite(weights: Float32Array): boolean | undefined {
    const kernel = this.#exports.is_finite as ((weights: number, count: number) => number) | undefined;
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
    const kernel = this.#exports.measure as ((...addressesAndSizes: number[]) => void) | undefined;
    if (!kernel || columns % 4 !== 0) {
      return false;
    }
    const rows = weights.length / columns;
    kernel(weights.byteOffset, decoded.byteOffset, importance.byteOffset, rows, columns, sums.byteOffset);
    return true;
  }
}
