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

export interface MemoryFile {
  /** Where this process finds it. */
  readonly path: string;
  /** Where other processes of the same user find it. */
  readonly sharedPath: string;
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
    path: `/proc/self/fd/${fd}`,
    sharedPath: `/proc/${process.pid}/fd/${fd}`,
    close: () => closeSync(fd),
  };
}

function createTemporary(name: string): MemoryFile {
  const path = join(tmpdir(), `${name}-${process.pid}-${created++}`);
  closeSync(openSync(path, "wx+", 0o600));
  return { path, sharedPath: path, close: () => rmSync(path, { force: true }) };
}
