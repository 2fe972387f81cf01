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

const SIZE = /\s(\S+)\s+(model|KV|RS|DSV4 \S+|compute|output)\s+buffer size\s*=\s*([0-9.]+) MiB/;
const MEBIBYTE = 2 ** 20;

/** Adds up the buffer sizes in the lines of a load or of a context's creation. */
export function parseMemoryUse(lines: readonly LogLine[]): MemoryUse {
  const devices = new Map<string, { weightsBytes: number; cacheBytes: number; computeBytes: number }>();
  const total = { weightsBytes: 0, cacheBytes: 0, computeBytes: 0 };
  for (const { text } of lines) {
    const [, device, purpose, size] = SIZE.exec(text) ?? [];
    if (device === undefined) continue;
    const bytes = Math.round(Number(size) * MEBIBYTE);
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
