/** Memory that llama.cpp takes, read from its log: it has no C function for it. */
import type { LogLine } from "./log.js";

/** Bytes by purpose, over all devices; llama.cpp rounds each of them to 0.01 MiB. */
export interface MemoryUse {
  readonly weightsBytes: number;
  /** KV cache and recurrent states. */
  readonly cacheBytes: number;
  /** Activations, and the logits handed out. */
  readonly computeBytes: number;
  /** The same per kind of memory (`CPU`, `CPU_Mapped`, `CUDA0`, ...). */
  readonly devices: ReadonlyMap<string, { weightsBytes: number; cacheBytes: number; computeBytes: number }>;
}

const sizeLine =
  /\s(\S+)\s+(model|KV|RS|DSV4 \S+(?: state)?|compute|output)\s+buffer size\s*=\s*([0-9.]+) MiB/;
const cacheBuffer = /\s(KV|RS|DSV4 \S+(?: state)?)\s+buffer size/;
const mebibyte = 2 ** 20;

/** Adds up the buffer sizes in the lines of a load or of a context's creation. */
export function parseMemoryUse(lines: readonly LogLine[]): MemoryUse {
  const devices = new Map<string, { weightsBytes: number; cacheBytes: number; computeBytes: number }>();
  const total = { weightsBytes: 0, cacheBytes: 0, computeBytes: 0 };
  for (const { text } of lines) {
    const [, device, purpose, size] = sizeLine.exec(text) ?? [];
    if (device === undefined) {
      continue;
    }
    const bytes = Math.round(Number(size) * mebibyte);
    const use = devices.get(device) ?? { weightsBytes: 0, cacheBytes: 0, computeBytes: 0 };
    const field =
      purpose === "model"
        ? "weightsBytes"
        : purpose === "compute" || purpose === "output"
          ? "computeBytes"
          : "cacheBytes";
    use[field] += bytes;
    total[field] += bytes;
    devices.set(device, use);
  }
  return { ...total, devices };
}

const plannedCache = /(?:: size =\s*([0-9.]+) MiB \(\s*\d+ cells,|, layers = \d+, size =\s*([0-9.]+) MiB)/;

/**
 * The same for a context of a model that was loaded to be measured only: compute buffers have their size, but those
 * of caches are not made, so that the sum that each cache reports is taken. It is not known by device.
 */
export function parsePlannedMemoryUse(lines: readonly LogLine[]): MemoryUse {
  const use = parseMemoryUse(lines.filter(({ text }) => !cacheBuffer.test(text)));
  const cacheBytes = lines
    .map(({ text }) => plannedCache.exec(text))
    .map((found) => found?.[1] ?? found?.[2])
    .reduce((sum, size) => sum + (size === undefined ? 0 : Math.round(Number(size) * mebibyte)), 0);
  return { ...use, cacheBytes };
}
