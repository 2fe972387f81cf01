/** Places on a disk: where a file may go, how much room there is, and what it means when the system refuses. */
import { constants } from "node:fs";
import { access, lstat, mkdir, open, realpath, stat, statfs } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join, resolve, sep } from "node:path";
import { EnvironmentError, systemErrorCode, UsageError } from "../errors.js";

/** Bytes of a name, on every usual file system. */
const longestName = 255;

/** Follows symbolic links, and checks that a file may be put there. */
export async function finalPlace(path: string): Promise<string> {
  if (path === "" || path.endsWith("/") || path.endsWith(sep)) {
    throw new UsageError(`"${path}" names a folder; name the file to write.`, { file: path });
  }
  if (Buffer.byteLength(basename(path)) > longestName) {
    throw new UsageError(
      `${path}: the name has ${Buffer.byteLength(basename(path))} bytes, and file systems allow ${longestName}; choose a shorter one.`,
      { file: path },
    );
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
    if (targetStat?.isFile()) {
      await access(target, constants.W_OK);
    }
  } catch (cause) {
    throw new EnvironmentError(
      `${path}: cannot be written; check the permissions of the file and of ${folder}.`,
      { file: path },
      { cause },
    );
  }
  return target;
}

/**
 * Throws an EnvironmentError if the disk of `folder` has less room than is needed for `path`; a disk that does
 * not say has enough.
 */
export async function checkRoom(path: string, folder: string, neededBytes: number): Promise<void> {
  const free = await freeBytes(folder);
  if (free !== undefined && free < neededBytes) {
    throw noRoom(path, neededBytes, free);
  }
}

/** Room on the disk of a folder; undefined if it does not say. */
export async function freeBytes(folder: string): Promise<number | undefined> {
  const disk = await statfs(folder).catch(() => undefined);
  return disk && disk.blocks > 0 ? disk.bavail * disk.bsize : undefined;
}

/** Bytes of the disk that a file takes up: fewer than its length while parts of it were never written. */
export async function allocatedBytes(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  // Not all systems count blocks (Windows); there the length must do.
  return found === undefined ? 0 : Math.min(found.size, (found.blocks ?? Infinity) * 512);
}

function noRoom(path: string, neededBytes: number, free: number | undefined, cause?: unknown) {
  const room =
    free === undefined
      ? "."
      : free < neededBytes
        ? ` and ${gigabytes(free)} are free, so ${gigabytes(neededBytes - free)} are missing.`
        : `, and what is free (${gigabytes(free)}) may not be used; a quota may be full.`;
  return new EnvironmentError(
    `${path}: the disk is full: ${gigabytes(neededBytes)} are needed${room} Make room or write elsewhere.`,
    { file: path, neededBytes, freeBytes: free },
    { cause },
  );
}

/** Where this user keeps what can be made again. */
export function userCacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "lopsided");
}

/** Creates a folder and those around it, if they are not there. Throws an EnvironmentError that names it. */
export async function createFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new EnvironmentError(
      `${path}: the folder cannot be created (${systemErrorCode(cause) ?? cause}); name another.`,
      { folder: path },
      { cause },
    );
  }
}

/** The error to raise when the system refuses to create or write a file; `neededBytes` are still to be written. */
export async function writeProblem(path: string, folder: string, neededBytes: number, cause: unknown) {
  const code = systemErrorCode(cause);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return noRoom(path, neededBytes, await freeBytes(folder), cause);
  }
  const reason =
    code === "EFBIG"
      ? `the disk does not allow files of ${gigabytes(neededBytes)}; write elsewhere.`
      : code === "EMFILE" || code === "ENFILE"
        ? "too many files are open; raise the limit (ulimit -n)."
        : code === "ENAMETOOLONG"
          ? "the name is too long; choose a shorter one."
          : `cannot be written (${code ?? String(cause)}).`;
  return new EnvironmentError(`${path}: ${reason}`, { file: path }, { cause });
}

function gigabytes(bytes: number): string {
  return bytes < 10 ** 7 ? `${bytes} bytes` : `${(bytes / 10 ** 9).toFixed(2)} GB`;
}

/** What systems and file systems say that cannot sync folders: Windows, some network disks. */
const cannotSync: readonly (string | undefined)[] = [
  "EISDIR",
  "EPERM",
  "EACCES",
  "EINVAL",
  "ENOTSUP",
  "EBADF",
];

/**
 * Makes a new or changed name outlast a power failure where the system can sync folders. Where it cannot, the
 * file is whole and in its place all the same. Throws an EnvironmentError if the disk fails.
 */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (cause) {
    const code = systemErrorCode(cause);
    if (!cannotSync.includes(code)) {
      throw new EnvironmentError(
        `${folder}: a new name in it may not outlast a power failure (${code ?? String(cause)}); check the disk.`,
        { file: folder },
        { cause },
      );
    }
  }
}
