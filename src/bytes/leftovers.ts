/** What a killed process left of a file that it was writing under a random name: see `OutputFile.create`. */
import { readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { finalPlace } from "./disk.js";
import { FileLock } from "./lock.js";
import { hiddenPath } from "./output.js";

/**
 * Locks an output for this process and removes what earlier ones left of it. Throws a UsageError if another process
 * is writing it.
 */
export async function claimOutput(path: string): Promise<FileLock> {
  const target = await finalPlace(path);
  const lock = await FileLock.acquire(target);
  const begin = basename(hiddenPath(target, "partial-"));
  for (const name of await readdir(dirname(target))) {
    if (name.startsWith(begin) && /^[0-9a-f]{12}$/.test(name.slice(begin.length))) {
      await rm(join(dirname(target), name), { force: true });
    }
  }
  return lock;
}
