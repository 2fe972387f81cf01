/**
 * Keeps two processes from writing the same file. Every process first puts a lock file of its own beside the
 * file, named after the machine and the process, and then looks for others'. Two that start at the same moment
 * both see the other and both refuse, which is safe; a lock of a process that has died is removed by the next
 * one, which is safe too, because no other process can have that name. (One shared lock file would need an
 * atomic "replace if it is still the dead one's", which file systems do not offer.)
 */
import { open, readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { EnvironmentError, systemErrorCode, UsageError } from "../errors.js";
import { hiddenPath } from "./output.js";

/** Locks of this process: a lock with our number that is not among them was left by an earlier process. */
const own = new Set<string>();

export class FileLock {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * Locks `target` for this process. Throws a UsageError if another process, or another call in this one, has it
   * locked; an EnvironmentError if the lock cannot be written.
   */
  static async acquire(target: string): Promise<FileLock> {
    const prefix = hiddenPath(target, "lock-");
    const host = hostname()
      .replace(/[^A-Za-z0-9.]/g, "_")
      .slice(0, 60);
    const path = `${prefix}${host}-${process.pid}`;
    if (own.has(path)) {
      throw locked(target, path, process.pid, undefined);
    }
    own.add(path);
    const lock = new FileLock(path);
    try {
      await (await open(path, "w")).close();
      await refuseOthers(target, prefix, host, path);
    } catch (error) {
      await lock.release();
      if (systemErrorCode(error) === undefined) {
        throw error;
      }
      throw new EnvironmentError(
        `${target}: cannot be locked (${systemErrorCode(error)}); check the permissions of its folder.`,
        { file: target },
        { cause: error },
      );
    }
    return lock;
  }

  async release(): Promise<void> {
    own.delete(this.#path);
    await rm(this.#path, { force: true });
  }
}

async function refuseOthers(target: string, prefix: string, host: string, mine: string): Promise<void> {
  const folder = dirname(target);
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (!name.startsWith(basename(prefix)) || path === mine) {
      continue;
    }
    const [, otherHost, digits] = /^(.*)-(\d+)$/s.exec(name.slice(basename(prefix).length)) ?? [];
    const pid = Number(digits);
    if (otherHost === host && !isAlive(pid)) {
      await rm(path, { force: true });
    } else {
      throw locked(target, path, pid, otherHost === host ? undefined : otherHost);
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) === "EPERM";
  }
}

function locked(target: string, path: string, pid: number, host: string | undefined): UsageError {
  const where = host === undefined ? "" : ` on ${host}`;
  return new UsageError(
    `${target}: process ${pid}${where} is writing it; wait for its end, or delete ${path} if it no longer runs.`,
    { file: target, lock: path, pid },
  );
}
