/**
 * Reads a file's header from its beginning, little-endian, in windows that double: a few reads however long the
 * header is, never more than twice its length. Every read passes `take`, the one bounds check.
 */
import type { ByteSource } from "../bytes/source.js";
import { textOf } from "../bytes/utf8.js";
import { type ErrorDetails, MalformedInputError } from "../errors.js";

/** The first window. Enough for all but the tokenizer, small enough to fetch from far away for an `inspect`. */
const firstWindow = 256 * 1024;

/**
 * Longest header read. It bounds the memory that a hostile file can make us use; the longest of real models,
 * with a vocabulary of 262 144 tokens and its merges, is 16 MB.
 */
const longestHeader = 64 * 1024 * 1024;

/** Signals that a record reaches beyond the window; caught by `record`, never seen by callers. */
class WindowTooSmall extends Error {
  readonly needed: number;

  constructor(needed: number) {
    super("the header's window is too small");
    this.needed = needed;
  }
}

export class HeaderCursor {
  /** Where the next read starts, from the beginning of the file. */
  position = 0;
  /** What is being read, for messages: `key 3 of 26`. */
  subject = "the header";
  #bytes = new Uint8Array(0);
  #view = new DataView(this.#bytes.buffer, 0, 0);

  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Bytes from here to the end of the file. */
  get remaining(): number {
    return this.#source.byteLength - this.position;
  }

  /** All bytes read so far up to `position`; a copy. */
  consumed(): Uint8Array {
    return this.#bytes.slice(0, this.position);
  }

  /** Up to `length` bytes from the beginning of the file, to recognize what it is. */
  async peek(length: number): Promise<Uint8Array> {
    if (this.#bytes.byteLength === 0) {
      await this.#grow(0);
    }
    return this.#bytes.subarray(0, length);
  }

  /** Runs `parse`, again from the same position with more of the file if it reached the window's end. */
  async record<T>(parse: () => T): Promise<T> {
    const start = this.position;
    for (;;) {
      try {
        return parse();
      } catch (signal) {
        if (!(signal instanceof WindowTooSmall)) {
          throw signal;
        }
        this.position = start;
        await this.#grow(signal.needed);
      }
    }
  }

  uint8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  int8(): number {
    return this.#view.getInt8(this.#take(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  int16(): number {
    return this.#view.getInt16(this.#take(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  uint64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  int64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }

  float32(): number {
    return this.#view.getFloat32(this.#take(4), true);
  }

  float64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /**
   * A count of things that take at least `unitBytes` each, checked against what remains of the file and against
   * `most`, if there is such a limit.
   */
  count(unitBytes: number, things: string, most = Number.POSITIVE_INFINITY): number {
    const at = this.#take(8);
    const count = this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
    if (count * unitBytes > this.remaining) {
      const exact = this.#view.getBigUint64(at, true);
      this.fail(
        `${this.subject} claims ${exact} ${things}, but only ${this.remaining} bytes follow. The file is truncated or damaged; download or write it again.`,
        { isCutOff: true },
      );
    }
    if (count > most) {
      this.fail(
        `${this.subject} claims ${count} ${things}; more than ${most} are refused. The file is damaged; download or write it again.`,
      );
    }
    return count;
  }

  /** Bytes of a string, after its length. The result lives only until the next read. */
  stringBytes(): Uint8Array {
    const length = this.count(1, "bytes of text");
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** A string; what is not UTF-8 becomes U+FFFD. */
  string(): string {
    const length = this.count(1, "bytes of text");
    const start = this.#take(length);
    return textOf(this.#bytes.subarray(start, start + length));
  }

  /** Makes sure that `length` bytes are in the window, so that a long array is not begun in vain. */
  expect(length: number): void {
    this.#take(length);
    this.position -= length;
  }

  /** Throws a MalformedInputError about this file; `isCutOff` among the details says that it may be whole elsewhere. */
  fail(problem: string, details: ErrorDetails = {}): never {
    throw new MalformedInputError(`${this.#source.name}: ${problem}`, {
      file: this.#source.name,
      offset: this.position,
      ...details,
    });
  }

  /** Steps over `length` bytes that are in the window and returns where they start. */
  #take(length: number): number {
    const start = this.position;
    const end = start + length;
    if (end > this.#bytes.byteLength) {
      if (end > this.#source.byteLength) {
        this.fail(
          `ends inside ${this.subject}: ${length} bytes are needed at offset ${start} but the file has only ${this.#source.byteLength}. The file is truncated; download or write it again.`,
          { isCutOff: true },
        );
      }
      throw new WindowTooSmall(end);
    }
    this.position = end;
    return start;
  }

  async #grow(needed: number): Promise<void> {
    if (needed > longestHeader) {
      this.fail(
        `${this.subject} reaches byte ${needed}; headers over ${longestHeader} bytes are refused. The file is damaged; download or write it again.`,
      );
    }
    const have = this.#bytes.byteLength;
    const wanted = Math.max(needed, 2 * have, firstWindow);
    const size = Math.min(wanted, longestHeader, this.#source.byteLength);
    const more = await this.#source.read(have, size - have);
    const larger = new Uint8Array(size);
    larger.set(this.#bytes);
    larger.set(more, have);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer, larger.byteOffset, larger.byteLength);
  }
}
