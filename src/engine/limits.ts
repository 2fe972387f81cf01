/** What is refused before llama.cpp is asked, because it would answer with a crash or not at all. */
import { readFileSync, statSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import { isAddress, shownAddress } from "../bytes/address.js";
import { EnvironmentError, MalformedInputError, systemErrorCode, UsageError } from "../errors.js";
import type { Device } from "./library.js";

const splitName = /-(\d{5})-of-(\d{5})\.gguf$/;

/**
 * The files of a model: one, or all of a split set.
 * Throws an EnvironmentError if one is missing or unreadable; a UsageError if it is not the first of the set.
 * @param path the file, or the first of the set
 */
export function findModelFiles(path: string): { paths: string[]; byteLength: number } {
  const [, number] = splitName.exec(path) ?? [];
  if (number !== undefined && number !== "00001") {
    throw new UsageError(`${path}: is part ${Number(number)} of a split model; name its first part.`, {
      file: path,
    });
  }
  const paths = modelFileNames(path);
  let byteLength = 0;
  for (const part of paths) {
    byteLength += fileSize(part);
  }
  return { paths, byteLength };
}

/** Names of a model's files, whether they are there or not: the path itself, or all of a split set. */
export function modelFileNames(path: string): string[] {
  const [, , total] = splitName.exec(path) ?? [];
  if (total === undefined) {
    return [path];
  }
  return Array.from({ length: Number(total) }, (_, index) =>
    path.replace(splitName, `-${String(index + 1).padStart(5, "0")}-of-${total}.gguf`),
  );
}

function fileSize(path: string): number {
  let stat: ReturnType<typeof statSync>;
  try {
    stat = statSync(path);
  } catch (cause) {
    const problem = isAddress(path)
      ? "is an address, and llama.cpp runs local files only; download it."
      : systemErrorCode(cause) === "ENOENT"
        ? "no such file; check the path."
        : `cannot be read (${systemErrorCode(cause) ?? "unknown reason"}).`;
    const shown = shownAddress(path);
    throw new EnvironmentError(`${shown}: ${problem}`, { file: shown }, { cause });
  }
  if (!stat.isFile()) {
    throw new EnvironmentError(`${path}: is not a regular file; name a GGUF file.`, { file: path });
  }
  if (stat.size === 0) {
    throw new MalformedInputError(`${path}: is empty; download or write it again.`, { file: path });
  }
  return stat.size;
}

/** Memory this process may use: the machine's, or the container's if that is less. */
export function memoryLimitBytes(): number {
  const container = process.constrainedMemory();
  return container > 0 && container < totalmem() ? container : totalmem();
}

/**
 * Memory that this process could still take: what the system says is available, or what the container's limit
 * leaves, where pages of files that were read do not count, since they give way.
 */
export function availableMemoryBytes(): number {
  const used = containerUse();
  const left = used === undefined ? Infinity : memoryLimitBytes() - used;
  return Math.max(0, Math.min(freemem(), left));
}

/** Bytes of the container's memory in use, without pages of files: of control groups of version 2 or 1. */
function containerUse(): number | undefined {
  try {
    const groups = readFileSync("/proc/self/cgroup", "utf8").split("\n");
    const own = (pattern: RegExp) => groups.map((line) => pattern.exec(line)?.[1]).find((path) => path);
    const first = own(/^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/);
    const folder =
      first === undefined ? `/sys/fs/cgroup${own(/^0::(.*)$/) ?? ""}` : `/sys/fs/cgroup/memory${first}`;
    const read = (name: string) => readFileSync(`${folder}/${name}`, "utf8");
    const used = Number(read(first === undefined ? "memory.current" : "memory.usage_in_bytes"));
    const files = [...read("memory.stat").matchAll(/^(?:total_)?(?:in)?active_file (\d+)$/gm)];
    // Version 1 counts twice: without and with the groups below.
    const pages = files.slice(-2).reduce((sum, [, bytes]) => sum + Number(bytes), 0);
    return Math.max(0, used - pages);
  } catch {
    return undefined;
  }
}

/**
 * Refuses weights larger than all memory: a memory-mapped model would load, and then be read from disk again for
 * every token.
 */
export function checkFitsMemory(path: string, byteLength: number, devices: readonly Device[]): void {
  const available = totalMemoryBytes(devices);
  if (byteLength <= available) {
    return;
  }
  throw new EnvironmentError(
    `${path}: its weights take ${gigabytes(byteLength)}, but this machine has ${gigabytes(available)} of memory; use a smaller quantization or a larger machine.`,
    { file: path, needed: byteLength, available },
  );
}

/** Refuses a KV cache larger than all memory. */
export function checkCacheFits(
  path: string,
  need: { tokens: number; bytesPerToken: number; devices: readonly Device[] },
): void {
  const { tokens, bytesPerToken } = need;
  const needed = tokens * bytesPerToken;
  const available = totalMemoryBytes(need.devices);
  if (needed <= available) {
    return;
  }
  throw new EnvironmentError(
    `${path}: the KV cache of ${tokens} tokens takes ${gigabytes(needed)} (${bytesPerToken} bytes per token), but this machine has ${gigabytes(available)} of memory; use a shorter context, fewer sequences or a smaller KV cache type.`,
    { file: path, tokens, needed, available },
  );
}

/** The machine's memory and that of its graphics cards; integrated ones use the machine's. */
function totalMemoryBytes(devices: readonly Device[]): number {
  return devices
    .filter(({ kind }) => kind === "gpu")
    .reduce((sum, { memoryBytes }) => sum + memoryBytes, memoryLimitBytes());
}

/** 12.3 GB */
export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(bytes < 1e10 ? 2 : 1)} GB`;
}
