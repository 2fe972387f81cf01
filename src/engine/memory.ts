/**
 * Native memory seen from JavaScript without copying: `ArrayBuffer`s over addresses. A view is valid as long as
 * its owner (model, context, graph) is; nothing here can check that, so views never leave the engine's objects
 * except for the duration of a callback or until the next decode.
 */
import type { Address, Koffi } from "./native.js";

/**
 * Forgotten views cost a few hundred bytes each. A context has some hundred activation addresses, so this limit
 * is only reached when contexts come and go in one process.
 */
const maxCachedViews = 4096;

/** Makes and remembers views: a decode loop asks for the same few addresses again and again. */
export class NativeMemory {
  readonly #ffi: Koffi;
  readonly #views = new Map<Address, ArrayBuffer>();

  constructor(ffi: Koffi) {
    this.#ffi = ffi;
  }

  /** `byteLength` bytes at `address`, which must be readable. */
  view(address: Address, byteLength: number): ArrayBuffer {
    const cached = this.#views.get(address);
    if (cached?.byteLength === byteLength) {
      return cached;
    }
    const view = this.#ffi.view(BigInt(address), byteLength);
    if (this.#views.size >= maxCachedViews) {
      this.#views.clear();
    }
    this.#views.set(address, view);
    return view;
  }

  /** A block of native memory that is released with `free`; zeroed. */
  allocate(byteLength: number): NativeBlock {
    const pointer = this.#ffi.alloc("uint8_t", byteLength);
    const buffer = this.#ffi.view(pointer, byteLength);
    new Uint8Array(buffer).fill(0);
    return { address: Number(pointer), buffer, free: () => this.#ffi.free(pointer) };
  }

  /** Forgets all views, for when their owner is released. */
  forget(): void {
    this.#views.clear();
  }
}

/** Native memory of our own. */
export interface NativeBlock {
  readonly address: Address;
  readonly buffer: ArrayBuffer;
  free(): void;
}
