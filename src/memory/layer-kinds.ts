/**
 * Which layers see only a window of the context, and which have a recurrent state instead of keys and values:
 * what llama.cpp's `load_arch_hparams` of each architecture (`src/models/*.cpp`) decides.
 */
import type { Architecture } from "../model/architecture.js";

/** How an architecture alternates windows and whole context. */
interface WindowPattern {
  /** One of so many layers sees the whole context; undefined: the file has a list with a value for each layer. */
  readonly period?: number;
  /** The first of each period sees the whole context, rather than the last. */
  readonly wholeFirst?: boolean;
  /** The window's size whatever the file says or if it says nothing. */
  readonly window?: number;
  /** Window even if the file has no key for it. */
  readonly always?: boolean;
}

/** Architectures whose windows llama.cpp knows; for others a window in the metadata has no effect. */
const windowPatterns: ReadonlyMap<string, WindowPattern> = new Map([
  ["gemma2", { period: 2, window: 4096, always: true }],
  ["gemma3", { period: 6 }],
  ["gemma3n", { period: 5 }],
  ["gemma4", {}],
  ["gpt-oss", { period: 2 }],
  ["llama4", { period: 4, window: 8192, always: true }],
  ["cohere2", { period: 4 }],
  ["cohere2moe", { period: 4, wholeFirst: true }],
  ["exaone4", { period: 4 }],
  ["exaone-moe", { period: 4, window: 128, always: true }],
  ["olmo2", { period: 4 }],
  ["smallthinker", { period: 4, wholeFirst: true, window: 4096 }],
  ["afmoe", { period: 4 }],
  ["plamo3", { period: 8 }],
  ["mellum", { period: 4 }],
  ["muse-glimmer", { period: 4 }],
  ["laguna", { period: 4, wholeFirst: true }],
  ["mimo2", {}],
  ["step35", {}],
  ["dots3note", {}],
  ["deepseek4", { period: 0 }],
  ["granite_swa", {}],
  ["maple", {}],
  ["lfm2", { period: 0 }],
]);

/** Tokens that an attention layer looks back; undefined if it sees the whole context. */
export function attentionWindow(architecture: Architecture, layer: number): number | undefined {
  const pattern = windowPatterns.get(architecture.name);
  if (pattern === undefined) {
    return undefined;
  }
  const declared = architecture.number("attention.sliding_window");
  if (declared === 0 || (declared === undefined && !pattern.always)) {
    return undefined;
  }
  // llama.cpp fixes the windows of Llama 4 and SmallThinker; for others its value is a default.
  const isFixed = architecture.name === "llama4" || architecture.name === "smallthinker";
  const window = isFixed ? pattern.window : (declared ?? pattern.window);
  return isWindowed(architecture, layer, pattern) ? window : undefined;
}

function isWindowed(architecture: Architecture, layer: number, pattern: WindowPattern): boolean {
  const key = "attention.sliding_window_pattern";
  if (architecture.isPerLayer(key)) {
    return architecture.layerNumber(key, layer) !== 0;
  }
  const period = architecture.number(key) ?? pattern.period;
  if (period === undefined) {
    return false;
  }
  if (period === 0) {
    return true;
  }
  return pattern.wholeFirst ? layer % period !== 0 : layer % period < period - 1;
}

/** Architectures in which every layer has a recurrent state and none has keys. */
const recurrentArchitectures = new Set(["mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"]);

/** Hybrids in which a layer without key and value heads is a recurrent one. */
const hybridByHeads = new Set([
  "jamba",
  "granitehybrid",
  "lfm2",
  "lfm2moe",
  "plamo2",
  "nemotron_h",
  "nemotron_h_moe",
  "kimi-linear",
  "kimi-k3",
  "bailingmoe3",
]);

/** Hybrids in which every so-many-th layer attends, if the file has no list. */
const hybridByInterval: ReadonlyMap<string, number> = new Map([
  ["qwen3next", 4],
  ["qwen35", 4],
  ["qwen35moe", 4],
  ["qwen4exp", 4],
  ["minimax-01", 8],
]);

/** Whether a layer has a recurrent state: instead of keys and values (true), or besides them. */
export function isRecurrent(architecture: Architecture, layer: number): boolean | "besides" {
  const { name } = architecture;
  if (recurrentArchitectures.has(name)) {
    return true;
  }
  if (name === "falcon-h1") {
    return "besides";
  }
  if (hybridByHeads.has(name)) {
    const hasFeedForward = name.startsWith("nemotron_h") && architecture.feedForwardLength(layer) > 0;
    return architecture.keyValueHeads(layer) === 0 && !hasFeedForward;
  }
  const defaultInterval = hybridByInterval.get(name);
  if (defaultInterval === undefined) {
    return false;
  }
  const list = architecture.layerNumber("attention.recurrent_layers", layer);
  if (list !== undefined) {
    return list !== 0;
  }
  const interval = architecture.number("full_attention_interval") ?? defaultInterval;
  return (layer + 1) % interval !== 0;
}

/** Numbers of a recurrent layer's state for one sequence: its convolution's, its own, and of embeddings of n-grams. */
export function recurrentState(architecture: Architecture, layer: number): number {
  return ownState(architecture) + ngramState(architecture, layer);
}

/** Tokens that the convolution of a layer's n-gram embeddings looks back (`llama_hparams::ple_conv_state`). */
function ngramState(architecture: Architecture, layer: number): number {
  const get = (key: string) => architecture.number(key) ?? 0;
  return architecture.lists("ple.layers", layer)
    ? Math.max(0, get("ple.conv_kernel") - 1) *
        get("ple.ngram_size") *
        get("hyper_connection.count") *
        architecture.embeddingLength
    : 0;
}

function ownState(architecture: Architecture): number {
  const get = (key: string) => architecture.number(key) ?? 0;
  const width = architecture.embeddingLength;
  const convolution = Math.max(0, get("ssm.conv_kernel") - 1);
  if (get("wkv.head_size") > 0) {
    return (architecture.number("token_shift_count") ?? 2) * width + width * get("wkv.head_size");
  }
  if (get("shortconv.l_cache") > 0) {
    return width * (get("shortconv.l_cache") - 1);
  }
  const deltaHead = get("kda.head_dim");
  if (deltaHead > 0) {
    const heads = architecture.heads();
    return 3 * (convolution || 3) * heads * deltaHead + deltaHead * deltaHead * heads;
  }
  if (architecture.name === "minimax-01") {
    return architecture.keyLength ** 2 * architecture.heads();
  }
  const [inner, state] = [get("ssm.inner_size"), get("ssm.state_size")];
  return convolution * (inner + 2 * get("ssm.group_count") * state) + state * inner;
}

/** Diffusion models: every step sees the whole text anew (`create_memory` returns nothing). */
const withoutMemory = new Set(["dream", "llada", "llada-moe", "rnd1"]);

/** Whether a model remembers anything of a conversation. */
export function hasMemory({ name }: Architecture): boolean {
  return !withoutMemory.has(name);
}

/** What a sparse-attention indexer keeps of each token besides the layer's keys and values, in numbers. */
export interface IndexerWidths {
  readonly key: number;
  /** llama.cpp makes room for values too where the model's own attention is not latent, and uses it for nothing. */
  readonly value: number;
}

/** Which layers have an indexer: all that attend, or as the file or a rule says. */
const indexers: ReadonlyMap<string, (architecture: Architecture, layer: number) => boolean> = new Map([
  ["deepseek32", () => true],
  ["glm-dsa", isIndexerLayer],
  ["hy_v4", (architecture, layer) => isTopKGiven(architecture) && isIndexerLayer(architecture, layer)],
  ["dots3note", isIndexerLayer],
  ["minimax-m3", (architecture, layer) => layer >= architecture.leadingDenseLayers],
  ["qwen4exp", (architecture, layer) => isRecurrent(architecture, layer) === false],
]);

/** What the indexer of a layer keeps; undefined if it has none. */
export function indexerWidths(architecture: Architecture, layer: number): IndexerWidths | undefined {
  const { name } = architecture;
  const key = architecture.number("attention.indexer.key_length") ?? 0;
  if (key === 0 || indexers.get(name)?.(architecture, layer) !== true) {
    return undefined;
  }
  return { key, value: name === "minimax-m3" ? architecture.valueLength : 0 };
}

/** Context from which on GLM models without a list have the indexers of GLM 5.2. */
const glm52Context = 1048576;

/** By a list with one for each layer that has an indexer of its own; without list all, or of GLM 5.2 every fourth. */
function isIndexerLayer(architecture: Architecture, layer: number): boolean {
  const listed = architecture.layerNumber("attention.indexer.types", layer);
  if (listed !== undefined) {
    return listed !== 0;
  }
  const isSparse = architecture.name === "glm-dsa" && architecture.contextLength >= glm52Context;
  return !isSparse || layer < 2 || (layer - 2) % 4 === 0;
}

function isTopKGiven(architecture: Architecture): boolean {
  return (architecture.number("attention.indexer.top_k") ?? 0) > 0;
}

/** What a layer of DeepSeek V4 keeps of the context compressed, besides a window of it (`llama-kv-cache-dsv4.cpp`). */
export interface CompressedMemory {
  /** Tokens that become one entry. */
  readonly ratio: number;
  /** Numbers of an entry, in the types of keys: those of attention and of the indexer. */
  readonly widths: readonly number[];
  /** Numbers of float32 for each sequence: what is not complete yet. */
  readonly stateSize: number;
}

/** Undefined for a layer that compresses nothing. */
export function compressedMemory(architecture: Architecture, layer: number): CompressedMemory | undefined {
  const ratio =
    architecture.name === "deepseek4" ? architecture.layerNumber("attention.compress_ratios", layer) : 0;
  if (ratio !== 4 && ratio !== 128) {
    return undefined;
  }
  const key = architecture.keyLength;
  const indexer = architecture.number("attention.indexer.key_length") ?? 0;
  if (ratio === 4) {
    // Keys and scores of twice the width for twice the ratio.
    return { ratio, widths: [key, indexer], stateSize: 2 * (2 * ratio) * 2 * (key + indexer) };
  }
  return { ratio, widths: [key], stateSize: 2 * ratio * key };
}
