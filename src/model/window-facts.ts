/**
 * Which architectures' layers can be run some at a time, as models of their own: facts about the graphs that
 * llama.cpp v0.5.0 builds (`src/models/`). Each entry was checked to the bit by `scripts/compare-windows.mjs`, which
 * runs a model whole and in windows; an architecture that is not listed is not run in windows. Among those that
 * cannot be: afmoe multiplies whatever enters by a factor that has no exact inverse, kimi-k3 looks back at earlier
 * layers, minimax-01 and smallthinker compute by the number of all layers.
 */
import type { Metadata } from "../gguf/metadata.js";
import { Architecture } from "./architecture.js";

export interface WindowFacts {
  /**
   * The kind of a layer follows from its number modulo this, so that windows begin at multiples of it: a number, or
   * the key that says it, with its default. 1 by default.
   */
  readonly period?: number | { readonly key: string; readonly otherwise: number };
  /** Embeddings of tokens are multiplied by the square root of the width, vectors are not. */
  readonly scalesTokens?: boolean;
  /** A factor for whatever enters the first layer, under the key `embedding_scale`: 1 for later windows. */
  readonly scalesInput?: boolean;
  /**
   * Vectors are only taken by a model with sections of its rotary embedding, one for each axis of an image. With all
   * of it in the first section, positions of text turn the same pairs by the same angles.
   */
  readonly takesVectorsWithSections?: boolean;
}

const plain: WindowFacts = {};

/** Every so-many-th layer sees the whole context, the others a window of it. */
const slidingWindows = (otherwise: number) => ({ key: "attention.sliding_window_pattern", otherwise });

/** Every so-many-th layer has attention, the others a recurrent state. */
const fullAttention = { key: "full_attention_interval", otherwise: 4 };

/** By the architecture's name in GGUF. */
const windowFacts: Readonly<Record<string, WindowFacts>> = {
  arctic: plain,
  bailingmoe: plain,
  bailingmoe2: plain,
  bailingmoe3: plain,
  cohere2moe: { period: slidingWindows(4) },
  dbrx: plain,
  deepseek: plain,
  deepseek2: plain,
  deepseek32: plain,
  dots1: plain,
  dots3note: plain,
  "ernie4_5-moe": plain,
  "exaone-moe": { period: slidingWindows(4) },
  gemma4: { scalesTokens: true },
  "glm-dsa": plain,
  glm4moe: { takesVectorsWithSections: true },
  "gpt-oss": { period: 2 },
  granitehybrid: { scalesInput: true },
  granitemoe: { scalesInput: true },
  grok: { scalesInput: true },
  grovemoe: plain,
  "hunyuan-moe": plain,
  hy_v3: plain,
  jamba: plain,
  "kimi-linear": plain,
  laguna: { period: slidingWindows(4) },
  lfm2moe: plain,
  llama: plain,
  llama4: { period: 4 },
  mamba: plain,
  mellum: { period: slidingWindows(4) },
  mimo2: plain,
  "minimax-m2": plain,
  mistral4: plain,
  olmoe: plain,
  phimoe: plain,
  qwen2moe: plain,
  qwen3: plain,
  qwen35moe: { period: fullAttention },
  qwen3moe: plain,
  qwen3next: { period: fullAttention },
};

/** Undefined for an architecture whose layers cannot be run by themselves. */
export function windowFactsOf(architecture: string): WindowFacts | undefined {
  return windowFacts[architecture];
}

/** What passes between layers besides the residual stream, if a model has it. */
const passesMore = [
  "attention.shared_kv_layers",
  "embedding_length_per_layer_input",
  "hyper_connection.count",
];

/** Arrays with a value for each layer, under the architecture's prefix. */
const layerKeys: ReadonlySet<string> = new Set([
  "attention.compress_ratios",
  "attention.head_count",
  "attention.head_count_kv",
  "attention.indexer.types",
  "attention.sliding_window_pattern",
  "expert_feed_forward_length",
  "expert_used_count",
  "feed_forward_length",
  "swiglu_clamp_exp",
  "swiglu_clamp_shexp",
]);

/** Whether an array under the architecture's prefix has one value for each layer. */
export function isByLayer(key: string): boolean {
  return layerKeys.has(key);
}

/** Arrays that are about all layers at once. */
const sharedKeys = new Set(["rope.dimension_sections"]);

/** Layers that are run one after the other: all but those that predict further tokens. */
export function runLayers(architecture: Architecture): number {
  return architecture.layers - architecture.nextnLayers;
}

/**
 * The smallest parts that the layers can be cut into, as the numbers of the layers that they begin with; undefined if
 * they cannot be run by themselves. Each part has layers of all kinds that there are (recurrent, attention through a
 * window, attention through everything), since llama.cpp makes a memory for every kind.
 */
export function windowStarts(metadata: Metadata): number[] | undefined {
  const architecture = new Architecture(metadata);
  const facts = windowFactsOf(architecture.name);
  const hasMore = passesMore.some((key) => (architecture.number(key) ?? 0) > 0);
  if (facts === undefined || hasMore || !hasKnownArrays(metadata, architecture)) {
    return undefined;
  }
  const period = periodOf(architecture, facts);
  const layers = runLayers(architecture);
  const kinds = Array.from({ length: layers }, (_, layer) => kindOf(architecture, layer));
  const all = new Set(kinds).size;
  const starts = [0];
  for (let layer = period; layer < layers; layer += period) {
    const isWhole = (part: readonly string[]) => new Set(part).size === all;
    if (isWhole(kinds.slice(starts.at(-1), layer)) && isWhole(kinds.slice(layer))) {
      starts.push(layer);
    }
  }
  return starts;
}

function periodOf(architecture: Architecture, { period = 1 }: WindowFacts): number {
  if (typeof period === "number") {
    return period;
  }
  return architecture.isPerLayer(period.key) ? 1 : (architecture.number(period.key) ?? period.otherwise);
}

/** What a layer's arrays say it is. */
function kindOf(architecture: Architecture, layer: number): string {
  const pattern = "attention.sliding_window_pattern";
  const isThere = (key: string) =>
    !architecture.isPerLayer(key) || architecture.layerNumber(key, layer) !== 0;
  const window = architecture.isPerLayer(pattern) ? architecture.layerNumber(pattern, layer) : undefined;
  return [isThere("attention.head_count_kv"), isThere("feed_forward_length"), window].join();
}

/** Whether every array that may be about the layers is known. */
function hasKnownArrays(metadata: Metadata, architecture: Architecture): boolean {
  const prefix = `${architecture.name}.`;
  return [...metadata].every(([key, value]) => {
    const name = key.slice(prefix.length);
    const mayBeByLayer =
      key.startsWith(prefix) && value.type === "array" && value.value.length === architecture.layers;
    return !mayBeByLayer || layerKeys.has(name) || sharedKeys.has(name);
  });
}
