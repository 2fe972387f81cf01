/** The memory of the graphics processors that llama.cpp would use. */
import type { Engine } from "./engine.js";
import { defineJob, type JobHost } from "./job.js";
import { noFiles } from "./job-files.js";
import { acceleratedPackage, type Device } from "./library.js";
import { availableMemoryBytes } from "./limits.js";

/** Left free on every processor for buffers that cannot be foreseen, as llama.cpp's own fitting does. */
const marginBytes = 2 ** 30;

export interface GraphicsMemory {
  /** Names, such as `CUDA0`. */
  readonly names: readonly string[];
  /** Free bytes of all of them together, less a margin. */
  readonly roomBytes: number;
}

/**
 * The processors that llama.cpp puts layers on: the discrete ones, or else the integrated ones, which have the
 * machine's memory. Undefined if there are none, or if a driver does not say what is free.
 * @param limit bytes to use at most
 */
export function graphicsMemoryOf(
  devices: readonly Device[],
  limit: number | undefined,
): GraphicsMemory | undefined {
  const discrete = devices.filter(({ kind }) => kind === "gpu");
  const used = discrete.length > 0 ? discrete : devices.filter(({ kind }) => kind === "integrated gpu");
  if (used.length === 0 || used.some(({ memoryBytes }) => memoryBytes === 0)) {
    return undefined;
  }
  const free = used.reduce((sum, { freeBytes }) => sum + freeBytes, 0) - used.length * marginBytes;
  const shared = discrete.length > 0 ? Infinity : availableMemoryBytes() - marginBytes;
  return {
    names: used.map(({ name }) => name),
    roomBytes: Math.max(0, Math.min(limit ?? Infinity, free, shared)),
  };
}

/** The same, asked of llama.cpp by another process. */
export const findGraphicsMemory = defineJob(
  import.meta.url,
  "findGraphicsMemory",
  noFiles,
  ({ limit }: { limit?: number | undefined }, host: JobHost): GraphicsMemory | undefined =>
    graphicsMemoryOf(host.library.devices(), limit),
);

interface GpuSettings {
  readonly gpuLayers?: number | undefined;
  readonly gpuMemory?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What decides where layers go: undefined if the user did, or if there is nothing but the machine's own memory. */
export async function graphicsFor(
  engine: Engine,
  { gpuLayers, gpuMemory, signal }: GpuSettings,
): Promise<GraphicsMemory | undefined> {
  // Without a package for them llama.cpp sees none, and need not be started to say so.
  return gpuLayers === undefined && acceleratedPackage() !== undefined
    ? engine.run(findGraphicsMemory, { limit: gpuMemory }, { signal })
    : undefined;
}
