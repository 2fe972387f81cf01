/**
 * A file that is written under another name and gets its own only when it is whole: whatever happens, nothing
 * half-written is ever found at the final path.
 */
import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { EnvironmentError, InternalError } from "../errors.js";
import { allocatedBytes, checkRoom, finalPlace, syncFolder, writeProblem } from "./disk.js";

/** Most bytes handed to the system at once; Linux writes at most 2 GiB in one go. */
const largestWrite = 2 ** 30;

/** Longest name, in bytes, to which a suffix is added; file systems allow 255 in all. */
const longestName = 180;

export class OutputFile {
  #written = 0;
  #underWay = 0;
  #state: "open" | "committed" | "discarded" | "kept" = "open";

  /** The final place, symbolic links followed. */
  readonly #target: string;
  readonly #handle: FileHandle;
  /** The path asked for, for messages. */
  readonly path: string;
  /** Where the bytes are until `commit`. */
  readonly partialPath: string;
  readonly byteLength: number;

  private constructor(
    path: string,
    target: string,
    partialPath: string,
    byteLength: number,
    handle: FileHandle,
  ) {
    this.path = path;
    this.partialPath = partialPath;
    this.byteLength = byteLength;
    this.#target = target;
    this.#handle = handle;
  }

  /**
   * Prepares to write `byteLength` bytes to `path`, which may exist and stays untouched until `commit`. The new
   * file has its full length at once, all zeros. Throws a UsageError if `path` is not a place for a file, an
   * EnvironmentError if it cannot be written or the disk has too little room. (Node.js offers no way to reserve
   * the room, so a disk that others fill meanwhile is an error of `write`.)
   */
  static async create(path: string, byteLength: number): Promise<OutputFile> {
    const target = await finalPlace(path);
    await checkRoom(path, dirname(target), byteLength);
    const suffix = `partial-${randomBytes(6).toString("hex")}`;
    return OutputFile.#open(path, target, hiddenPath(target, suffix), byteLength, "wx+");
  }

  /**
   * The same under a name that a later run finds again: goes on with what is there, or begins with zeros. The
   * caller sees to it that there is room and that no one else writes the same file.
   */
  static async continue(path: string, byteLength: number): Promise<OutputFile> {
    const target = await finalPlace(path);
    const partialPath = partialPathOf(target);
    const flags = (await exists(partialPath)) ? "r+" : "wx+";
    return OutputFile.#open(path, target, partialPath, byteLength, flags);
  }

  static async #open(
    path: string,
    target: string,
    partialPath: string,
    byteLength: number,
    flags: string,
  ): Promise<OutputFile> {
    const folder = dirname(target);
    let handle: FileHandle;
    try {
      handle = await open(partialPath, flags);
    } catch (cause) {
      throw await writeProblem(path, folder, byteLength, cause);
    }
    const output = new OutputFile(path, target, partialPath, byteLength, handle);
    try {
      await handle.truncate(byteLength);
    } catch (cause) {
      await (flags === "r+" ? output.keep() : output.discard());
      throw await writeProblem(path, folder, byteLength, cause);
    }
    return output;
  }

  /** Bytes written so far; what was written twice counts twice. */
  get bytesWritten(): number {
    return this.#written;
  }

  /** Writes all of `bytes` at `offset`. Writes may run side by side; each byte should be written once. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#mustBeOpen("written to");
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + bytes.byteLength > this.byteLength) {
      throw new InternalError(
        `${this.path}: ${bytes.byteLength} bytes at ${offset} lie outside the ${this.byteLength} bytes of the file.`,
      );
    }
    this.#underWay++;
    try {
      await writeFully(this.#handle, bytes, offset);
      this.#written += bytes.byteLength;
    } catch (cause) {
      throw await this.#problem(cause);
    } finally {
      this.#underWay--;
    }
  }

  /** Returns when all that was written before the call is safely on the disk. */
  async sync(): Promise<void> {
    this.#mustBeOpen("synced");
    try {
      await this.#handle.datasync();
    } catch (cause) {
      throw await this.#problem(cause);
    }
  }

  /** Puts the file in its place, replacing what was there, once its bytes are safely on the disk. */
  async commit(): Promise<void> {
    this.#mustBeOpen("committed");
    if (this.#underWay > 0) {
      throw new InternalError(`${this.path}: committed with ${this.#underWay} writes under way.`);
    }
    const { size } = await this.#handle.stat();
    if (size !== this.byteLength) {
      throw new EnvironmentError(
        `${this.path}: the file under way has ${size} bytes instead of ${this.byteLength}; something else changed ${this.partialPath}.`,
        { file: this.path },
      );
    }
    try {
      await this.#handle.sync();
      await rename(this.partialPath, this.#target);
    } catch (cause) {
      throw await this.#problem(cause);
    }
    this.#state = "committed";
    await this.#handle.close();
    await syncFolder(dirname(this.#target));
  }

  /** Removes the file under way. Does nothing after `commit` or a second time, so it may stand in a `finally`. */
  async discard(): Promise<void> {
    if (this.#state !== "open") {
      return;
    }
    this.#state = "discarded";
    await this.#handle.close();
    await rm(this.partialPath, { force: true });
  }

  /** Closes the file under way and leaves it for `continue`. Does nothing once it is committed or discarded. */
  async keep(): Promise<void> {
    if (this.#state !== "open") {
      return;
    }
    this.#state = "kept";
    await this.#handle.close();
  }

  #mustBeOpen(action: string): void {
    if (this.#state !== "open") {
      throw new InternalError(`${this.path}: ${action} after it was ${this.#state}.`);
    }
  }

  async #problem(cause: unknown): Promise<EnvironmentError> {
    const needed = this.byteLength - (await allocatedBytes(this.partialPath));
    return await writeProblem(this.path, dirname(this.#target), needed, cause);
  }
}

/** Where an unfinished run of `OutputFile.continue` keeps the bytes of `target`. */
export function partialPathOf(target: string): string {
  return hiddenPath(target, "partial");
}

/** `.NAME.SUFFIX` beside a file; of a long name only the beginning and a checksum, since names have limits. */
export function hiddenPath(target: string, suffix: string): string {
  const name = basename(target);
  const fits = Buffer.byteLength(name) <= longestName;
  const short = fits ? name : `${[...name].slice(0, 40).join("")}-${checksum(name)}`;
  return join(dirname(target), `.${short}.${suffix}`);
}

function checksum(name: string): string {
  return createHash("sha256").update(name).digest("hex").slice(0, 12);
}

async function exists(path: string): Promise<boolean> {
  const handle = await open(path, "r").catch(() => undefined);
  await handle?.close();
  return handle !== undefined;
}

/** Writes all of `bytes` at `offset`, going on after short writes. */
export async function writeFully(
  handle: Pick<FileHandle, "write">,
  bytes: Uint8Array,
  offset: number,
): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) {
    const length = Math.min(bytes.byteLength - done, largestWrite);
    const { bytesWritten } = await handle.write(bytes, done, length, offset + done);
    if (bytesWritten === 0) {
      throw new Error("the system wrote nothing");
    }
    done += bytesWritten;
  }
}
