/**
 * Keeps two processes from writing the same file. Every process first puts a lock file of its own beside the
 * file, named after machine, container and process (`process-identity.ts`), and then looks for others'. Two that start at the same moment
 * both see the other and both refuse, which is safe; a lock of a process that has died is removed by the next
 * one, which is safe too, because no other process can have that name. (One shared lock file would need an
 * atomic "replace if it is still the dead one's", which file systems do not offer.)
 */
import { open, readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { EnvironmentError, systemErrorCode, UsageError } from "../errors.js";
import { hiddenPath } from "./output.js";
import {
  formatIdentity,
  hasEnded,
  identityOfProcess,
  type ProcessIdentity,
  parseIdentity,
} from "./process-identity.js";

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
    const holder = identityOfProcess();
    const path = `${prefix}${formatIdentity(holder)}`;
    if (own.has(path)) {
      throw locked(target, path, holder);
    }
    own.add(path);
    const lock = new FileLock(path);
    try {
      await (await open(path, "w")).close();
      await refuseOthers(target, prefix, path);
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

async function refuseOthers(target: string, prefix: string, mine: string): Promise<void> {
  const folder = dirname(target);
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (!name.startsWith(basename(prefix)) || path === mine) {
      continue;
    }
    const other = parseIdentity(name.slice(basename(prefix).length));
    if (other === undefined || !hasEnded(other)) {
      throw locked(target, path, other);
    }
    await rm(path, { force: true });
  }
}

function locked(target: string, path: string, holder: ProcessIdentity | undefined): UsageError {
  const who = holder === undefined ? "another process" : `process ${holder.pid}${placeOf(holder)}`;
  return new UsageError(
    `${target}: ${who} is writing it; wait for its end, or delete ${path} if it no longer runs.`,
    { file: target, lock: path, pid: holder?.pid },
  );
}

/** Where a process runs, as seen from here. */
function placeOf({ host, machine, namespace }: ProcessIdentity): string {
  const own = identityOfProcess();
  if (host !== own.host || machine !== own.machine) {
    return ` on ${host}`;
  }
  return namespace === own.namespace ? "" : " in another container";
}
