/** The standard streams of a program in the sandbox: bytes in memory, and not too many. */

/** What a program can read, once. */
export class InputStream {
  readonly #bytes: Uint8Array;
  #position = 0;

  constructor(text: string) {
    this.#bytes = new TextEncoder().encode(text);
  }

  /** Fills `target` as far as there is something left; returns how many bytes that was. */
  readInto(target: Uint8Array): number {
    const bytes = this.#bytes.subarray(this.#position, this.#position + target.length);
    target.set(bytes);
    this.#position += bytes.length;
    return bytes.length;
  }
}

/** The beginning of what a program writes; what is beyond the bound is dropped. */
export class OutputStream {
  readonly #bytes: Uint8Array;
  #length = 0;
  #isCut = false;

  constructor(maxBytes: number) {
    this.#bytes = new Uint8Array(maxBytes);
  }

  write(bytes: Uint8Array): void {
    const kept = bytes.subarray(0, this.#bytes.length - this.#length);
    this.#bytes.set(kept, this.#length);
    this.#length += kept.length;
    this.#isCut ||= kept.length < bytes.length;
  }

  /** Whether more was written than there was room for. */
  get isCut(): boolean {
    return this.#isCut;
  }

  text(): string {
    return new TextDecoder().decode(this.#bytes.subarray(0, this.#length));
  }
}
