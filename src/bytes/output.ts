/**
 * A file that is written under a temporary name and gets its own only when it is whole: whatever happens,
 * nothing half-written is ever found at the final path.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { access, type FileHandle, lstat, open, realpath, rename, rm, stat, statfs } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { EnvironmentError, InternalError, systemErrorCode, UsageError } from "../errors.js";

/** Most bytes handed to the system at once; Linux writes at most 2 GiB in one go. */
const largestWrite = 2 ** 30;

export class OutputFile {
  private written = 0;
  private underWay = 0;
  private state: "open" | "committed" | "discarded" = "open";

  private constructor(
    /** The path asked for, for messages. */
    readonly path: string,
    /** The final place, symbolic links followed. */
    private readonly target: string,
    /** Where the bytes are until `commit`. */
    readonly partialPath: string,
    readonly byteLength: number,
    private readonly handle: FileHandle,
  ) {}

  /**
   * Prepares to write `byteLength` bytes to `path`, which may exist and stays untouched until `commit`. The new
   * file has its full length at once, all zeros. Throws a UsageError if `path` is not a place for a file, an
   * EnvironmentError if it cannot be written or the disk has too little room. (Node.js offers no way to reserve
   * the room, so a disk that others fill meanwhile is an error of `write`.)
   */
  static async create(path: string, byteLength: number): Promise<OutputFile> {
    const target = await finalPlace(path);
    const folder = dirname(target);
    await checkRoom(path, folder, byteLength);
    const name = basename(target).slice(0, 100);
    const partialPath = join(folder, `.${name}.partial-${randomBytes(6).toString("hex")}`);
    let handle: FileHandle;
    try {
      handle = await open(partialPath, "wx+");
    } catch (cause) {
      throw await writeProblem(path, folder, byteLength, cause);
    }
    const output = new OutputFile(path, target, partialPath, byteLength, handle);
    try {
      await handle.truncate(byteLength);
    } catch (cause) {
      await output.discard();
      throw await writeProblem(path, folder, byteLength, cause);
    }
    return output;
  }

  /** Bytes written so far; what was written twice counts twice. */
  get bytesWritten(): number {
    return this.written;
  }

  /** Writes all of `bytes` at `offset`. Writes may run side by side; each byte should be written once. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.mustBeOpen("written to");
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + bytes.byteLength > this.byteLength) {
      throw new InternalError(
        `${this.path}: ${bytes.byteLength} bytes at ${offset} lie outside the ${this.byteLength} bytes of the file.`,
      );
    }
    this.underWay++;
    try {
      await writeFully(this.handle, bytes, offset);
      this.written += bytes.byteLength;
    } catch (cause) {
      throw await writeProblem(this.path, dirname(this.target), this.byteLength, cause);
    } finally {
      this.underWay--;
    }
  }

  /** Puts the file in its place, replacing what was there, once its bytes are safely on the disk. */
  async commit(): Promise<void> {
    this.mustBeOpen("committed");
    if (this.underWay > 0) {
      throw new InternalError(`${this.path}: committed with ${this.underWay} writes under way.`);
    }
    const { size } = await this.handle.stat();
    if (size !== this.byteLength) {
      throw new EnvironmentError(
        `${this.path}: the file under way has ${size} bytes instead of ${this.byteLength}; something else changed ${this.partialPath}.`,
        { file: this.path },
      );
    }
    try {
      await this.handle.sync();
      await rename(this.partialPath, this.target);
    } catch (cause) {
      throw await writeProblem(this.path, dirname(this.target), this.byteLength, cause);
    }
    this.state = "committed";
    await this.handle.close();
    await syncFolder(dirname(this.target));
  }

  /** Removes the file under way. Does nothing after `commit` or a second time, so it may stand in a `finally`. */
  async discard(): Promise<void> {
    if (this.state !== "open") return;
    this.state = "discarded";
    await this.handle.close();
    await rm(this.partialPath, { force: true });
  }

  private mustBeOpen(action: string): void {
    if (this.state !== "open") throw new InternalError(`${this.path}: ${action} after it was ${this.state}.`);
  }
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
    if (bytesWritten === 0) throw new Error("the system wrote nothing");
    done += bytesWritten;
  }
}

/** Follows symbolic links, and checks that a file may be put there. */
async function finalPlace(path: string): Promise<string> {
  if (path === "" || path.endsWith("/") || path.endsWith(sep)) {
    throw new UsageError(`"${path}" names a folder; name the file to write.`, { file: path });
  }
  const target = await realpath(path).catch(() => resolve(path));
  const folder = dirname(target);
  const folderStat = await stat(folder).catch(() => undefined);
  if (!folderStat?.isDirectory()) {
    throw new UsageError(`${path}: there is no folder ${folder}; create it first.`, { file: path });
  }
  const targetStat = await lstat(target).catch(() => undefined);
  if (targetStat?.isDirectory()) {
    throw new UsageError(`${path}: is a folder; name the file to write.`, { file: path });
  }
  if (targetStat && !targetStat.isFile() && !targetStat.isSymbolicLink()) {
    throw new UsageError(`${path}: is no regular file; name another.`, { file: path });
  }
  try {
    await access(folder, constants.W_OK);
    if (targetStat?.isFile()) await access(target, constants.W_OK);
  } catch (cause) {
    throw new EnvironmentError(
      `${path}: cannot be written; check the permissions of the file and of ${folder}.`,
      { file: path },
      { cause },
    );
  }
  return target;
}

/** Throws an EnvironmentError if the disk has less room than is needed; a disk that does not say has enough. */
async function checkRoom(path: string, folder: string, byteLength: number): Promise<void> {
  const free = await freeBytes(folder);
  if (free !== undefined && free < byteLength) throw noRoom(path, byteLength, free);
}

async function freeBytes(folder: string): Promise<number | undefined> {
  const disk = await statfs(folder).catch(() => undefined);
  return disk && disk.blocks > 0 ? disk.bavail * disk.bsize : undefined;
}

function noRoom(path: string, byteLength: number, free: number | undefined, cause?: unknown) {
  const room = free === undefined ? "" : ` and ${gigabytes(free)} are free`;
  return new EnvironmentError(
    `${path}: the disk is full: the file takes ${gigabytes(byteLength)}${room}. Make room or write elsewhere.`,
    { file: path, neededBytes: byteLength, freeBytes: free },
    { cause },
  );
}

/** The error to raise when the system refuses to create or write a file. */
async function writeProblem(path: string, folder: string, byteLength: number, cause: unknown) {
  const code = systemErrorCode(cause);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return noRoom(path, byteLength, await freeBytes(folder), cause);
  }
  const reason =
    code === "EFBIG"
      ? `the disk does not allow files of ${gigabytes(byteLength)}; write elsewhere.`
      : code === "ENAMETOOLONG"
        ? "the name is too long; choose a shorter one."
        : `cannot be written (${code ?? String(cause)}).`;
  return new EnvironmentError(`${path}: ${reason}`, { file: path }, { cause });
}

function gigabytes(bytes: number): string {
  return bytes < 10 ** 7 ? `${bytes} bytes` : `${(bytes / 10 ** 9).toFixed(2)} GB`;
}

/**
 * Makes a rename outlast a power failure where the system can sync folders. Where it cannot, the file is whole
 * and in its place all the same.
 */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}
