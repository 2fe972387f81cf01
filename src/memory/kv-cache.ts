/**
 * What llama.cpp remembers of a conversation, in bytes: keys and values of attention layers, windows of
 * sliding-window layers, states of recurrent layers. Sources in llama.cpp: `llama_model::create_memory` in
 * `src/llama-model.cpp` (which kind of memory an architecture has), `src/llama-kv-cache.cpp`,
 * `src/llama-kv-cache-iswa.cpp`, `src/llama-memory-recurrent.cpp`, `n_embd_r` and `n_embd_s` in
 * `src/llama-hparams.cpp`.
 */
import type { CacheType } from "../engine/cache-types.js";
import type { Architecture } from "../model/architecture.js";
import { rowBytes, type TypeName } from "../quants/types.js";
import {
  attentionWindow,
  type CompressedMemory,
  compressedMemory,
  hasMemory,
  type IndexerWidths,
  indexerWidths,
  isRecurrent,
  recurrentState,
} from "./layer-kinds.js";

/** llama.cpp rounds contexts and windows up to multiples of this. */
export const contextStep = 256;

/** What one layer keeps. */
export interface CacheLayer {
  readonly layer: number;
  /** Numbers kept of each token's key, over all heads; 0 without attention. */
  readonly keyWidth: number;
  /** Likewise of its value; 0 with latent attention (MLA), whose values are part of the keys. */
  readonly valueWidth: number;
  /** What a sparse-attention indexer keeps of each token besides. */
  readonly indexer: IndexerWidths | undefined;
  /** What is kept of the context compressed. */
  readonly compressed: CompressedMemory | undefined;
  /** Tokens that the layer looks back, if it does not see the whole context. */
  readonly window: number | undefined;
  /** Numbers of recurrent state for each sequence, float32 whatever the cache types are. */
  readonly stateSize: number;
}

export interface CacheOptions {
  /** Tokens of context for each sequence. */
  readonly contextLength: number;
  /** Conversations held at once, each with a cache of its own; 1 by default. */
  readonly sequences?: number;
  /** F16 by default. */
  readonly keyType?: CacheType;
  /** F16 by default. */
  readonly valueType?: CacheType;
  /** Tokens computed at once (`--ubatch-size`); 512 by default. A window has room for them besides its own. */
  readonly microBatch?: number;
}

export interface CacheSize {
  /** Of all sequences. */
  readonly bytes: number;
  /** What one more token of context costs in one sequence: layers that see the whole context. */
  readonly bytesPerToken: number;
  /** What a sequence takes whatever the context: full windows and recurrent states. */
  readonly fixedBytes: number;
}

/** Architectures whose memory has room for layers that predict further tokens, though they are not run. */
const remembersPrediction = new Set(["bailingmoe3", "deepseek4", "nemotron_h_moe"]);

/** What each layer keeps, in order; layers without memory of their own are left out. */
export function cacheLayers(architecture: Architecture): CacheLayer[] {
  if (!hasMemory(architecture)) {
    return [];
  }
  const predicting = remembersPrediction.has(architecture.name) ? 0 : architecture.nextnLayers;
  const layers = architecture.layers - predicting;
  return Array.from({ length: layers }, (_, layer) => cacheLayer(architecture, layer)).filter(
    ({ keyWidth, stateSize }) => keyWidth > 0 || stateSize > 0,
  );
}

function cacheLayer(architecture: Architecture, layer: number): CacheLayer {
  const recurrent = isRecurrent(architecture, layer);
  const attends =
    architecture.hasHeads && hasOwnKeys(architecture, layer) && (!recurrent || recurrent === "besides");
  const window = attends ? attentionWindow(architecture, layer) : undefined;
  const suffix = window === undefined ? "" : "_swa";
  const head = (part: "key" | "value") =>
    architecture.number(`attention.${part}_length${suffix}`) ??
    (part === "key" ? architecture.keyLength : architecture.valueLength);
  const heads = attends ? architecture.keyValueHeads(layer) : 0;
  // The values are part of the keys.
  const isLatent =
    architecture.number("attention.key_length_mla") !== undefined || architecture.name === "deepseek4";
  return {
    layer,
    indexer: attends ? indexerWidths(architecture, layer) : undefined,
    compressed: compressedMemory(architecture, layer),
    keyWidth: heads === 0 ? 0 : heads * head("key"),
    valueWidth: heads === 0 || isLatent ? 0 : heads * head("value"),
    window,
    stateSize: recurrent ? recurrentState(architecture, layer) : 0,
  };
}

/** Gemma's last layers use the keys of earlier ones. */
function hasOwnKeys(architecture: Architecture, layer: number): boolean {
  if (architecture.name === "gemma3n") {
    return layer < 20;
  }
  if (architecture.name === "gemma4") {
    return layer < architecture.layers - (architecture.number("attention.shared_kv_layers") ?? 0);
  }
  return true;
}

/** Tokens that llama.cpp really makes room for. */
export function paddedContext(contextLength: number): number {
  return Math.ceil(contextLength / contextStep) * contextStep;
}

/**
 * Size of the memory. Throws a UsageError if a layer's keys or values do not fill whole blocks of the cache type
 * (llama.cpp then refuses too).
 */
export function cacheSize(layers: readonly CacheLayer[], options: CacheOptions): CacheSize {
  const { sequences = 1, keyType = "F16", valueType = "F16", microBatch = 512 } = options;
  const context = paddedContext(options.contextLength);
  let [cells, perToken, windows, states] = [0, 0, 0, 0];
  for (const { keyWidth, valueWidth, indexer, compressed, window, stateSize } of layers) {
    const tokenBytes = widthBytes(keyType, keyWidth) + widthBytes(valueType, valueWidth);
    states += 4 * (stateSize + (compressed?.stateSize ?? 0));
    if (indexer) {
      const indexerBytes = widthBytes(keyType, indexer.key) + widthBytes(valueType, indexer.value);
      perToken += indexerBytes;
      cells += indexerBytes * context;
    }
    if (compressed) {
      const entryBytes = compressed.widths.reduce((sum, width) => sum + widthBytes(keyType, width), 0);
      perToken += entryBytes / compressed.ratio;
      cells += entryBytes * paddedContext(Math.ceil(context / compressed.ratio));
    }
    if (window === undefined) {
      perToken += tokenBytes;
      cells += tokenBytes * context;
    } else {
      const full = paddedContext(window + Math.min(microBatch, context));
      windows += tokenBytes * full;
      cells += tokenBytes * Math.min(context, full);
    }
  }
  return {
    bytes: sequences * (cells + states),
    bytesPerToken: perToken,
    fixedBytes: windows + states,
  };
}

function widthBytes(type: TypeName, width: number): number {
  return width === 0 ? 0 : rowBytes(type, width);
}
