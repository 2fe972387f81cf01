/** What llama.cpp's mixtures know of a model and of its tensors' names. */
import type { Architecture } from "../model/architecture.js";
import { layerOf } from "../model/roles.js";

/** What the choices depend on besides the tensor. */
export interface MixtureModel {
  readonly architecture: string;
  /** All layers, those for multi-token prediction included. */
  readonly layers: number;
  readonly experts: number;
  /** Query heads per key and value head in the first layer. */
  readonly headsPerKeyValueHead: number;
  /** llama.cpp's size class "70B", whose few value heads deserve more bits. */
  readonly is70B: boolean;
  /** Whether an importance matrix is used at all. */
  readonly hasImportance: boolean;
  /** Number of tensors of category "value" in the whole model. */
  readonly valueTensors: number;
  /** Whether the token embedding also serves as output. */
  readonly tied: boolean;
}

/** Kinds of tensors that the mixtures tell apart; coarser than roles, and by parts of names. */
export type Category =
  | "output"
  | "embedding"
  | "value"
  | "key"
  | "query"
  | "projection"
  | "up"
  | "gate"
  | "down"
  | "other";

/** Parts of names in the order in which llama.cpp tries them. Fused and latent matrices count as values. */
const categoryParts: readonly (readonly [part: string, Category])[] = [
  ["attn_qkv.weight", "value"],
  ["attn_kv_b.weight", "value"],
  ["attn_v.weight", "value"],
  ["attn_k.weight", "key"],
  ["attn_q.weight", "query"],
  ["attn_output.weight", "projection"],
  ["ffn_up", "up"],
  ["ffn_gate", "gate"],
  ["ffn_down", "down"],
];

/** Whether llama-quantize treats a tensor as token embedding. */
export function isTokenEmbedding(name: string): boolean {
  return name === "token_embd.weight" || name === "per_layer_token_embd.weight";
}

export function categoryOf(name: string): Category {
  if (name === "output.weight") {
    return "output";
  }
  if (isTokenEmbedding(name)) {
    return "embedding";
  }
  return categoryParts.find(([part]) => name.includes(part))?.[1] ?? "other";
}

/** Architectures and layers of the "70B" class (`load_arch_hparams` of each model). */
const layersOf70B: ReadonlyMap<string, number> = new Map([
  ["llama", 80],
  ["llama-embed", 80],
  ["qwen2", 80],
  ["deci", 80],
  ["olmo", 80],
  ["jais2", 68],
]);

function is70B(architecture: Architecture): boolean {
  const layers = layersOf70B.get(architecture.name);
  if (layers === undefined || layers !== architecture.layers - architecture.nextnLayers) {
    return false;
  }
  // Llama's first generation had a 65B without grouped heads.
  return !architecture.name.startsWith("llama") || architecture.heads() !== architecture.keyValueHeads();
}

/** Layers as llama.cpp counts them. */
function countedLayers(architecture: Architecture): number {
  switch (architecture.name) {
    case "nanbeige": // runs its layers several times
      return architecture.layers * (architecture.number("num_loops") ?? 1);
    case "graniteswitch": // adds a layer for its router
      return architecture.layers - architecture.nextnLayers + 1;
    case "clip": // an encoder of images or sound: has its facts under other keys
      return 0;
    default:
      return architecture.layers;
  }
}

/** Reads from a model what the mixtures depend on. */
export function mixtureModel(
  architecture: Architecture,
  names: readonly string[],
  hasImportance: boolean,
): MixtureModel {
  return {
    architecture: architecture.name,
    layers: countedLayers(architecture),
    experts: architecture.experts,
    headsPerKeyValueHead: architecture.headsPerKeyValueHead(0),
    is70B: is70B(architecture),
    hasImportance,
    valueTensors: names.filter((name) => categoryOf(name) === "value").length,
    tied: !names.includes("output.weight"),
  };
}

/**
 * llama.cpp's order of work: by layer, tensors outside the layers first, then by name (`weight_name_comparer`
 * in `src/llama-model-loader.h`). With `--keep-split` the order of the file is used instead.
 */
export function processingOrder<T extends { readonly name: string }>(tensors: readonly T[]): T[] {
  return tensors
    .map((tensor) => ({ tensor, layer: layerOf(tensor.name) ?? -1 }))
    .sort((a, b) => a.layer - b.layer || compare(a.tensor.name, b.tensor.name))
    .map(({ tensor }) => tensor);
}

/** By code units, not by language: names are ASCII. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
