/** What a worker has fetched and may want again, by the SHA-256 of its bytes, in bounded memory. */
import type { SharedInput } from "../quants/shared-input.js";

/** Keeps shared inputs; the ones not used for longest go first. */
export class InputCache {
  readonly #mostBytes: number;
  readonly #inputs = new Map<string, { readonly input: Promise<SharedInput>; bytes: number }>();
  #bytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** The input of this name and size, fetched unless it is there or on its way. A failure is not kept. */
  async get(
    { sha256, bytes }: { readonly sha256: string; readonly bytes: number },
    fetch: () => Promise<Uint8Array>,
  ): Promise<SharedInput> {
    const known = this.#inputs.get(sha256);
    if (known) {
      this.#inputs.delete(sha256);
      this.#inputs.set(sha256, known);
      return await known.input;
    }
    const input = fetch().then((found) => shared(sha256, found));
    this.#inputs.set(sha256, { input, bytes });
    this.#bytes += bytes;
    this.#shrink();
    try {
      return await input;
    } catch (error) {
      this.#remove(sha256);
      throw error;
    }
  }

  #shrink(): void {
    for (const name of this.#inputs.keys()) {
      if (this.#bytes <= this.#mostBytes || this.#inputs.size === 1) {
        return;
      }
      this.#remove(name);
    }
  }

  #remove(name: string): void {
    this.#bytes -= this.#inputs.get(name)?.bytes ?? 0;
    this.#inputs.delete(name);
  }
}

/** In shared memory, so that encoder threads need no copies. */
function shared(sha256: string, bytes: Uint8Array): SharedInput {
  const memory = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(memory).set(bytes);
  return { sha256, values: new Float32Array(memory) };
}
