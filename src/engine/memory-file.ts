/**
 * A file that lies in memory and has no name, so that nothing of it is left behind however the process ends:
 * `memfd_create` on Linux. Other systems get a file in the folder for temporary ones, removed as soon as it can be.
 */
import { closeSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Koffi } from "./native.js";

/** Of `memfd_create`: processes started from here do not inherit it. */
const closeOnExec = 1;

/** Where a process finds its own open files. */
const ownFiles = "/proc/self/fd/";

/** Where other processes of the same user find what a process calls `path`. */
export function pathInProcess(path: string, processId: number): string {
  return path.startsWith(ownFiles) ? `/proc/${processId}/fd/${path.slice(ownFiles.length)}` : path;
}

export interface MemoryFile {
  /** Where this process finds it; its parent finds it where `Engine.outsidePath` says. */
  readonly path: string;
  /** Forgets it; mappings of it stay. */
  close(): void;
}

let created = 0;

/** An empty file. `name` is for lists of a process's mappings. */
export function createMemoryFile(ffi: Koffi, name: string): MemoryFile {
  return process.platform === "linux" ? createNameless(ffi, name) : createTemporary(name);
}

function createNameless(ffi: Koffi, name: string): MemoryFile {
  const create = ffi.load(null).func("int memfd_create(const char *name, unsigned int flags)") as (
    name: string,
    flags: number,
  ) => number;
  const fd = create(name, closeOnExec);
  if (fd < 0) {
    return createTemporary(name);
  }
  return {
    path: `${ownFiles}${fd}`,
    close: () => closeSync(fd),
  };
}

function createTemporary(name: string): MemoryFile {
  const path = join(tmpdir(), `${name}-${process.pid}-${created++}`);
  closeSync(openSync(path, "wx+", 0o600));
  return { path, close: () => rmSync(path, { force: true }) };
}
