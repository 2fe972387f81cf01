/** Writes a whole model with the threads of this machine. */
import { availableParallelism } from "node:os";
import { EncoderPool } from "../quants/pool.js";
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
}

/** Bytes of a cache unless the user says otherwise. */
const defaultCacheBytes = 20e9;

/**
 * Encodes and writes a model. The output appears under its name when it is whole. What stops the work on its way
 * (a stop, a full disk, a crash) leaves an unfinished run that `resume` continues, to the same bytes. Peak memory
 * does not depend on the size of the model.
 */
export async function writeModel(options: WriteModelOptions): Promise<WrittenModel> {
  for (const note of options.source.notes ?? []) {
    options.onWarning?.(note);
  }
  const { cache: folder, cacheSize = defaultCacheBytes } = options;
  const cache = folder === undefined ? undefined : await EncodedCache.open(folder, cacheSize);
  const pool = new EncoderPool(options.threads ?? availableParallelism());
  if (pool.warning) {
    options.onWarning?.(pool.warning);
  }
  try {
    const writer = await ModelWriter.begin(options, pool, cache);
    await writer.write();
    return await writer.finish();
  } finally {
    await pool.close();
  }
}
