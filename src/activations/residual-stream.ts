/**
 * The residual stream between two windows of layers: a float32 vector for each token of the text. One half of the
 * file holds what enters the window, the other what leaves it, so that a run that is interrupted can go on in the
 * middle of a window. The next window's output takes the place of what entered this one, so that how far a run is must
 * be saved between two windows.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesOf } from "../bytes/floats.js";
import { createMemoryFile } from "../engine/memory-file.js";
import type { Koffi } from "../engine/native.js";
import { EnvironmentError, systemErrorCode } from "../errors.js";

/** Streams up to this size are kept in memory if they need not outlast the process. */
const memoryBytes = 2 ** 26;

export class ResidualStream {
  /** Length of a vector. */
  readonly width: number;
  readonly #fd: number;
  readonly #name: string;
  readonly #halfBytes: number;
  readonly #removesAtEnd: boolean;

  private constructor(fd: number, name: string, tokens: number, width: number, removesAtEnd = false) {
    this.#fd = fd;
    this.#name = name;
    this.width = width;
    this.#halfBytes = 4 * tokens * width;
    this.#removesAtEnd = removesAtEnd;
    this.#guard(() => ftruncateSync(fd, 2 * this.#halfBytes));
  }

  /** A stream that is kept under a name, for a later run to go on with; what the file has is kept. */
  static open(path: string, tokens: number, width: number): ResidualStream {
    const isThere = existsSync(path);
    return new ResidualStream(openFile(path, isThere ? "r+" : "wx+"), path, tokens, width);
  }

  /** A stream that ends with the process. */
  static temporary(ffi: Koffi, tokens: number, width: number): ResidualStream {
    if (8 * tokens * width <= memoryBytes) {
      const file = createMemoryFile(ffi, "lopsided-stream");
      const fd = openFile(file.path, "r+");
      file.close();
      return new ResidualStream(fd, "the residual stream", tokens, width);
    }
    const path = join(tmpdir(), `lopsided-stream-${process.pid}-${performance.now()}`);
    const fd = openFile(path, "wx+");
    // Where open files can be removed this one has no name from now on; elsewhere closing it removes it.
    const hasName = !removed(path);
    return new ResidualStream(fd, path, tokens, width, hasName);
  }

  /** Vectors of tokens [first, first + count) of one half. */
  read(side: number, first: number, count: number): Float32Array {
    const bytes = new Uint8Array(4 * count * this.width);
    this.#eachPart(bytes, side, first, (part, at) => readSync(this.#fd, part, 0, part.length, at));
    return new Float32Array(bytes.buffer);
  }

  write(side: number, first: number, vectors: Float32Array): void {
    this.#eachPart(bytesOf(vectors), side, first, (part, at) =>
      writeSync(this.#fd, part, 0, part.length, at),
    );
  }

  /** Returns when what was written outlasts a power failure. */
  sync(): void {
    this.#guard(() => fdatasyncSync(this.#fd));
  }

  close(): void {
    closeSync(this.#fd);
    if (this.#removesAtEnd) {
      removed(this.#name);
    }
  }

  #eachPart(
    bytes: Uint8Array,
    side: number,
    first: number,
    move: (part: Uint8Array, at: number) => number,
  ): void {
    const start = side * this.#halfBytes + 4 * first * this.width;
    this.#guard(() => {
      for (let done = 0; done < bytes.length; ) {
        const moved = move(bytes.subarray(done), start + done);
        if (moved === 0) {
          throw new EnvironmentError(`${this.#name}: ended at byte ${start + done}; somebody cut it.`);
        }
        done += moved;
      }
    });
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (cause) {
      throw streamProblem(this.#name, cause);
    }
  }
}

function removed(path: string): boolean {
  try {
    rmSync(path);
    return true;
  } catch {
    return false;
  }
}

function openFile(path: string, flags: string): number {
  try {
    return openSync(path, flags, 0o600);
  } catch (cause) {
    throw streamProblem(path, cause);
  }
}

function streamProblem(name: string, cause: unknown): unknown {
  const code = systemErrorCode(cause);
  if (code === undefined) {
    return cause;
  }
  const reason = code === "ENOSPC" || code === "EDQUOT" ? "the disk is full" : `it failed (${code})`;
  return new EnvironmentError(
    `${name}: the activations between layers are kept there, and ${reason}. Make room, or take fewer chunks.`,
    { file: name },
    { cause },
  );
}
