/** How many threads to compute with. */
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/**
 * Threads for matrix products: physical cores rather than logical ones (two threads of a core share the units that
 * do the work), no more than this process may use.
 */
export function defaultThreads(): number {
  const limits = [availableParallelism(), physicalCores(), containerQuota()];
  return Math.max(1, Math.min(...limits.filter((limit) => limit !== undefined)));
}

/** Physical cores, as Linux lists them; unknown elsewhere. */
function physicalCores(): number | undefined {
  const folder = "/sys/devices/system/cpu";
  try {
    const siblings = readdirSync(folder)
      .filter((name) => /^cpu\d+$/.test(name))
      .map((name) => readFileSync(`${folder}/${name}/topology/thread_siblings_list`, "utf8").trim());
    return new Set(siblings).size || undefined;
  } catch {
    return undefined;
  }
}

/** Processors that a container's quota pays for: threads beyond it only wait for one another. */
function containerQuota(): number | undefined {
  try {
    const [quota, period] = readFileSync("/sys/fs/cgroup/cpu.max", "utf8").trim().split(" ").map(Number);
    return quota && period ? Math.ceil(quota / period) : undefined;
  } catch {
    return undefined;
  }
}
