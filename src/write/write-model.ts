/** Writes a whole model with the threads of this machine, and with those of a queue's. */
import { availableParallelism } from "node:os";
import type { OnProgress } from "../progress.js";
import { EncoderPool } from "../quants/pool.js";
import type { Transcoder } from "../quants/transcoder.js";
import type { QueueSettings } from "../queue/settings.js";
import { EncodedCache } from "./encoded-cache.js";
import { ModelWriter, type WriteRequest, type WrittenModel } from "./model-writer.js";

/** What is asked of every command that writes a model. */
export interface WriteControls
  extends Pick<WriteRequest, "resume" | "restart" | "onProgress" | "onWarning" | "signal"> {
  /** Encoder threads; all of the machine's cores if undefined. */
  readonly threads?: number | undefined;
}

export interface WriteModelOptions extends WriteRequest, WriteControls {
  /** Folder of slices that were encoded before, and the most bytes that it may take. */
  readonly cache?: string | undefined;
  readonly cacheSize?: number | undefined;
  /** Machines that encode too. */
  readonly machines?: QueueSettings | undefined;
}

/** Bytes of a cache unless the user says otherwise. */
const defaultCacheBytes = 20e9;

/**
 * Encodes and writes a model. The output appears under its name when it is whole. What stops the work on its way
 * (a stop, a full disk, a crash) leaves an unfinished run that `resume` continues, to the same bytes. Peak memory
 * does not depend on the size of the model.
 */
export async function writeModel(options: WriteModelOptions): Promise<WrittenModel> {
  const { machines, onWarning, threads = availableParallelism() } = options;
  for (const note of options.source.notes ?? []) {
    onWarning?.(note);
  }
  // Who only coordinates copies and checks all the same.
  const pool = new EncoderPool(machines?.local === false ? Math.min(threads, 1) : threads, onWarning);
  try {
    return machines === undefined
      ? await writeWith(options, pool)
      : await writeOnQueue(options, pool, threads, machines);
  } finally {
    await pool.close();
  }
}

async function writeWith(request: WriteModelOptions, encoders: Transcoder): Promise<WrittenModel> {
  const { cache: folder, cacheSize = defaultCacheBytes } = request;
  const cache = folder === undefined ? undefined : await EncodedCache.open(folder, cacheSize);
  const writer = await ModelWriter.begin(request, encoders, cache);
  await writer.write();
  return await writer.finish();
}

async function writeOnQueue(
  { onProgress, ...request }: WriteModelOptions,
  pool: EncoderPool,
  threads: number,
  machines: QueueSettings,
): Promise<WrittenModel> {
  // Only who uses a queue loads what it is made of.
  const { openQueueEncoders } = await import("../queue/queue-encoders.js");
  const { transcoder, tell, abort, close } = await openQueueEncoders(
    machines,
    pool,
    threads,
    request.onWarning,
  );
  request.signal?.addEventListener("abort", abort);
  try {
    const listener: OnProgress = (progress) => {
      tell(progress);
      onProgress?.(progress);
    };
    return await writeWith({ ...request, onProgress: listener }, transcoder);
  } finally {
    request.signal?.removeEventListener("abort", abort);
    await close();
  }
}
