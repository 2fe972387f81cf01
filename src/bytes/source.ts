/** Sources of bytes: files and memory, behind the interface that files on servers have too. */

import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { EnvironmentError, MalformedInputError, systemErrorCode } from "../errors.js";
import { isAddress, shownAddress } from "./address.js";
import { checkRange } from "./source-range.js";

/**
 * Where bytes come from: a file, a part of memory, a URL that answers range requests. Everything that reads a
 * model asks one of these, so that a test can put a counting or truncating double in its place.
 */
export interface ByteSource {
  /** What to call it in a message: a path or an address. */
  readonly name: string;
  /** Total size in bytes. */
  readonly byteLength: number;
  /** Exactly `length` bytes from `offset`; throws if the source ends before. The result is the caller's. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
  /** Of a source that is no local file. */
  readonly remote?: RemoteFile;
}

/** What there is to know of a file on a server without reading it. */
export interface RemoteFile {
  /** Distinguishes the versions of the file; undefined if the server says nothing but its size. */
  readonly version: string | undefined;
  /** SHA-256 that the server says the file has; undefined if it says nothing. */
  readonly claimedSha256: string | undefined;
  /** From now on `sha256` is computed from what is read. */
  beginChecksum(): void;
  /**
   * SHA-256 in hexadecimal of what was read and of all the rest, which is fetched for it. Throws a
   * MalformedInputError if it is not the one that the server claims.
   */
  sha256(): Promise<string>;
}

/** Bytes in memory as a source. */
export class MemorySource implements ByteSource {
  readonly byteLength: number;

  readonly #bytes: Uint8Array;
  readonly name: string;

  constructor(name: string, bytes: Uint8Array) {
    this.name = name;
    this.#bytes = bytes;
    this.byteLength = bytes.byteLength;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkRange(this, offset, length);
    // Not slice(): of a Buffer it would share the memory.
    return new Uint8Array(this.#bytes.subarray(offset, offset + length));
  }

  async close(): Promise<void> {}
}

/** Most bytes asked of the system at once; Node.js reads less than 2 GiB in one go. */
const largestRead = 2 ** 30;

/** A local file as a source. Short reads are continued; a file that shrinks meanwhile is an error. */
export class FileSource implements ByteSource {
  readonly #handle: FileHandle;
  readonly name: string;
  readonly byteLength: number;

  private constructor(name: string, byteLength: number, handle: FileHandle) {
    this.name = name;
    this.byteLength = byteLength;
    this.#handle = handle;
  }

  /** Opens `path` for reading. Throws an EnvironmentError that names the path if it cannot be opened. */
  static async open(path: string): Promise<FileSource> {
    let handle: FileHandle;
    try {
      // A pipe that nobody writes to is no reason to wait.
      handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    } catch (cause) {
      const shown = shownAddress(path);
      const problem = isAddress(path)
        ? "is an address, and a local file is needed here; download it."
        : openProblem(cause);
      throw new EnvironmentError(`${shown}: ${problem}`, { file: shown }, { cause });
    }
    const stat = await handle.stat();
    if (!stat.isFile()) {
      await handle.close();
      throw new EnvironmentError(`${path}: is not a regular file; name one.`, { file: path });
    }
    return new FileSource(path, stat.size, handle);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkRange(this, offset, length);
    // Every byte is overwritten; zeros first would be work for nothing.
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
    await this.readInto(bytes, offset);
    return bytes;
  }

  /** Fills `bytes` from `offset`. */
  async readInto(bytes: Uint8Array, offset: number): Promise<void> {
    const length = bytes.byteLength;
    checkRange(this, offset, length);
    let done = 0;
    while (done < length) {
      const bytesRead = await this.#readSome(bytes, done, offset + done);
      if (bytesRead === 0) {
        throw new MalformedInputError(
          `${this.name}: ended at byte ${offset + done} while reading ${length} bytes at ${offset}; it became shorter since it was opened.`,
          { file: this.name, offset: offset + done },
        );
      }
      done += bytesRead;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #readSome(bytes: Uint8Array, done: number, offset: number): Promise<number> {
    const length = Math.min(bytes.byteLength - done, largestRead);
    try {
      return (await this.#handle.read(bytes, done, length, offset)).bytesRead;
    } catch (cause) {
      const code = systemErrorCode(cause) ?? String(cause);
      throw new EnvironmentError(
        `${this.name}: cannot be read at byte ${offset} (${code}); check the disk it lies on.`,
        { file: this.name, offset },
        { cause },
      );
    }
  }
}

function openProblem(cause: unknown): string {
  const code = systemErrorCode(cause);
  if (code === "ENOENT") {
    return "no such file; check the path.";
  }
  if (code === "EACCES" || code === "EPERM") {
    return "not readable; check its permissions.";
  }
  if (code === "EMFILE" || code === "ENFILE") {
    return "too many files are open; raise the limit (ulimit -n).";
  }
  return `cannot be opened (${code ?? String(cause)}).`;
}
