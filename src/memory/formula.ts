/** What a context takes besides the weights, by our own formulas. */
import type { Architecture } from "../model/architecture.js";
import { estimateCompute } from "./compute-size.js";
import { type CacheOptions, cacheLayers, cacheSize } from "./kv-cache.js";

/** Memory of one configuration. */
export interface MemoryNeed {
  /** KV cache and recurrent states of all sequences. */
  readonly kvBytes: number;
  /** What one more token of context costs in one sequence. */
  readonly kvBytesPerToken: number;
  /** What a sequence takes whatever the context: windows of sliding-window layers and recurrent states. */
  readonly kvFixedBytes: number;
  readonly computeBytes: number;
  /** Who said so: llama.cpp itself, or our formulas. */
  readonly source: "llama.cpp" | "formula";
}

/** The cache exactly, the compute buffers by an estimate. Errors: see `cacheSize`. */
export function formulaNeed(architecture: Architecture, options: CacheOptions): MemoryNeed {
  const { bytes, bytesPerToken, fixedBytes } = cacheSize(cacheLayers(architecture), options);
  return {
    kvBytes: bytes,
    kvBytesPerToken: bytesPerToken,
    kvFixedBytes: fixedBytes,
    computeBytes: estimateCompute(architecture, options),
    source: "formula",
  };
}
