/** The memory of a module's instance behind the module's own tables, where the host lays out its data. */

const pageBytes = 65536;

/** An instance and its memory. Not for use by two threads at once. */
export class Heap {
  readonly exports: Readonly<Record<string, unknown>>;
  /** First free byte, a multiple of 64. */
  readonly base: number;
  readonly #memory: WebAssembly.Memory;

  /** The module exports `memory` and `heap_base()`, and imports nothing. */
  constructor(module: WebAssembly.Module) {
    this.exports = new WebAssembly.Instance(module).exports;
    this.#memory = this.exports.memory as WebAssembly.Memory;
    this.base = Math.ceil((this.exports.heap_base as () => number)() / 64) * 64;
  }

  /** All of the memory; another one after every `reserve` that had to grow it. */
  get buffer(): ArrayBuffer {
    return this.#memory.buffer;
  }

  /** Makes `bytes` from `base` on available, and returns the memory. Views of the memory made before are void. */
  reserve(bytes: number): ArrayBuffer {
    const missing = this.base + bytes - this.#memory.buffer.byteLength;
    if (missing > 0) {
      this.#memory.grow(Math.ceil(missing / pageBytes));
    }
    return this.#memory.buffer;
  }
}

/** Places of parts of a memory, one after the other, and how much of it they take, in bytes. */
export function layOut<Part extends string>(
  sizes: Readonly<Record<Part, number>>,
): { readonly places: Readonly<Record<Part, number>>; readonly bytes: number } {
  let bytes = 0;
  const places = Object.entries<number>(sizes).map(([part, size]) => {
    const place = bytes;
    bytes += Math.ceil(size / 64) * 64;
    return [part, place] as const;
  });
  return { places: Object.fromEntries(places) as Record<Part, number>, bytes };
}
