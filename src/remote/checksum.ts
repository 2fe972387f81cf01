/**
 * The SHA-256 of a source computed from reads that are made anyway. Slices are asked for nearly in the order of the
 * file, so almost nothing is fetched twice: gaps between reads are fetched when the next read steps over them, what
 * arrives before its turn is kept until then, and a range read again counts once. The reader's own window bounds
 * how much that is.
 */
import { createHash } from "node:crypto";

/** Bytes fetched at a time where nobody but the checksum wants them. */
const pieceBytes = 1 << 22;

export class RunningChecksum {
  readonly #hash = createHash("sha256");
  /** Up to here all is hashed. */
  #hashed = 0;
  /** Up to here all is hashed, kept, or being fetched. */
  #claimed = 0;
  readonly #early = new Map<number, Uint8Array>();

  readonly #byteLength: number;
  readonly #fetchRange: (offset: number, length: number) => Promise<Uint8Array>;

  constructor(byteLength: number, fetchRange: (offset: number, length: number) => Promise<Uint8Array>) {
    this.#byteLength = byteLength;
    this.#fetchRange = fetchRange;
  }

  /** Fetches a range and hashes what is new of it, and all before it. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const start = this.#claimed;
    const end = offset + length;
    if (end <= start) {
      return await this.#fetchRange(offset, length);
    }
    this.#claimed = end;
    if (start < offset) {
      await this.#fetchAndHash(start, offset);
    }
    const bytes = await this.#fetchRange(offset, length);
    const isNewFrom = Math.max(start, offset);
    this.#take(isNewFrom, bytes.subarray(isNewFrom - offset));
    return bytes;
  }

  /** Fetches what nobody has read and returns the SHA-256 of all, in hexadecimal. To be called once, at the end. */
  async digest(): Promise<string> {
    this.#early.clear(); // left only by a read that failed
    await this.#fetchAndHash(this.#hashed, this.#byteLength);
    return this.#hash.digest("hex");
  }

  async #fetchAndHash(start: number, end: number): Promise<void> {
    for (let offset = start; offset < end; offset += pieceBytes) {
      this.#take(offset, await this.#fetchRange(offset, Math.min(pieceBytes, end - offset)));
    }
  }

  #take(offset: number, bytes: Uint8Array): void {
    if (offset !== this.#hashed) {
      this.#early.set(offset, bytes.slice()); // the original is the reader's, who may give it to another thread
      return;
    }
    this.#hash.update(bytes);
    this.#hashed += bytes.byteLength;
    const next = this.#early.get(this.#hashed);
    if (next === undefined) {
      return;
    }
    this.#early.delete(this.#hashed);
    this.#take(this.#hashed, next);
  }
}
