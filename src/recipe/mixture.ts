/**
 * llama.cpp's standard mixtures: which type each tensor gets when a file is quantized as, say, `Q4_K_M`. A
 * mixture is its base type plus exceptions, written here as one row per mixture. Rules and numbers:
 * `llama_tensor_get_type_impl` in llama.cpp `src/llama-quant.cpp` (v0.5.0); tests compare every row with it.
 *
 * The choices depend on the order in which tensors are asked for, because some count the tensors before them.
 * A tensor that a user's rule decides is not counted, so such rules shift the exceptions of the others.
 */
import { InternalError } from "../errors.js";
import type { Architecture } from "../model/architecture.js";
import { layerOf } from "../model/roles.js";
import { type TypeName, traitsOf } from "../quants/types.js";
import { type Ftype, ftypeBaseType } from "./ftypes.js";

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
type Category =
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

function categoryOf(name: string): Category {
  if (name === "output.weight") return "output";
  if (isTokenEmbedding(name)) return "embedding";
  return categoryParts.find(([part]) => name.includes(part))?.[1] ?? "other";
}

/** Where a tensor stands among those of its category. */
interface Place {
  /** How many of the category were asked for before it. */
  readonly visited: number;
  /** For feed-forward tensors of a model with experts the layer in the name, else the same as `visited`. */
  readonly index: number;
  /** What `index` is to be compared with: layers, or the number of value tensors. */
  readonly count: number;
}

/** An exception: a type, or undefined to keep the base type. */
type Choice = (place: Place, model: MixtureModel) => TypeName | undefined;

/** A mixture's exceptions by category. */
interface Mixture {
  readonly output?: TypeName;
  readonly embedding?: TypeName;
  readonly value?: Choice;
  readonly key?: Choice;
  readonly query?: Choice;
  readonly projection?: Choice;
  readonly down?: Choice;
  /** `ffn_gate` and `ffn_up`. */
  readonly gateUp?: Choice;
}

const always =
  (type: TypeName): Choice =>
  () =>
    type;

/** The first `1/parts` of the layers. */
const first =
  (parts: number, type: TypeName, others?: TypeName): Choice =>
  ({ index, count }) =>
    index < Math.floor(count / parts) ? type : others;

/** The first and last eighth, and every third layer between. */
const isImportant = ({ index, count }: Place) => {
  const eighth = Math.floor(count / 8);
  return index < eighth || index >= Math.floor((7 * count) / 8) || (index - eighth) % 3 === 2;
};

const important =
  (type: TypeName): Choice =>
  (place) =>
    isImportant(place) ? type : undefined;

/** Models whose key and value heads serve four query heads or more. */
const grouped =
  (type: TypeName, others?: TypeName): Choice =>
  (_, model) =>
    model.headsPerKeyValueHead >= 4 ? type : others;

/** Mixtures around 2 bits. `better` is what the sensitive tensors get; `projection` the attention output. */
function lowBits(better: TypeName, projection?: TypeName): Mixture {
  return {
    output: "Q5_K",
    embedding: better,
    value: (_, { headsPerKeyValueHead, experts }) =>
      headsPerKeyValueHead >= 4 || experts >= 4 ? "Q4_K" : better,
    key: (_, { experts }) => (experts === 8 ? "Q4_K" : undefined),
    projection: (_, { experts }) => (experts === 8 ? "Q5_K" : projection),
    down: ({ visited, count }) => (visited < Math.floor(count / 8) ? better : undefined),
  };
}

/** Exceptions of the other mixtures before those for special models. */
interface Row extends Mixture {
  /** Models with exactly eight experts (Mixtral) get Q5_K attention outputs instead of this row's choice. */
  readonly mixtralProjection?: true;
  /** Falcon has its own choice for `ffn_down`. */
  readonly falconDown?: Choice;
  readonly falconProjection?: TypeName;
}

/** Adds what all mixtures above 2 bits do for special models: eight experts, Falcon, "70B". */
function standard(base: TypeName, row: Row): Mixture {
  return {
    ...row,
    value: (place, model) => {
      if (model.experts === 8) return "Q8_0";
      const type = row.value?.(place, model) ?? base;
      return model.is70B && (type === "Q3_K" || type === "Q4_K") ? "Q5_K" : type;
    },
    key: (place, model) => (model.experts === 8 ? "Q8_0" : row.key?.(place, model)),
    projection: (place, model) => {
      if (model.architecture === "falcon") return row.falconProjection;
      if (model.experts === 8) return row.mixtralProjection && "Q5_K";
      return row.projection?.(place, model);
    },
    down: (place, model) => {
      const isFalcon = model.architecture === "falcon" && row.falconDown !== undefined;
      return (isFalcon ? row.falconDown : row.down)?.(place, model);
    },
  };
}

const q4Row: Row = {
  value: grouped("Q5_K"),
  mixtralProjection: true,
  down: (place, model) => (model.hasImportance ? undefined : first(8, "Q5_K")(place, model)),
};

const q40Row = (type: TypeName): Row => ({
  down: (place, model) => (model.hasImportance ? first(8, type)(place, model) : undefined),
});

const lowMixtures: { readonly [name in Ftype]?: Mixture } = {
  IQ1_S: lowBits("Q2_K", "IQ2_XXS"),
  IQ1_M: lowBits("Q2_K", "IQ2_XXS"),
  IQ2_XXS: lowBits("Q2_K"),
  IQ2_XS: lowBits("Q2_K"),
  IQ2_S: lowBits("IQ3_S", "IQ3_S"),
  IQ2_M: lowBits("IQ3_S", "IQ3_S"),
};

const rows: { readonly [name in Ftype]?: Row } = {
  Q2_0: { embedding: "Q4_K" },
  TQ1_0: { embedding: "Q4_K" },
  TQ2_0: { embedding: "Q4_K" },
  Q2_K: {
    value: grouped("Q4_K", "Q3_K"),
    projection: always("Q3_K"),
    mixtralProjection: true,
    down: always("Q3_K"),
  },
  Q2_K_S: { value: grouped("Q4_K"), down: first(8, "Q4_K") },
  IQ3_XXS: {
    output: "Q5_K",
    embedding: "IQ3_S",
    value: (place, model) => grouped("Q4_K", model.hasImportance ? "IQ3_XXS" : "IQ3_S")(place, model),
    key: always("IQ2_S"),
    query: always("IQ2_S"),
    projection: always("IQ3_S"),
    mixtralProjection: true,
    down: (place, model) => (model.hasImportance ? undefined : first(8, "Q4_K", "Q3_K")(place, model)),
  },
  IQ3_XS: {
    value: grouped("Q4_K"),
    key: always("IQ3_XXS"),
    query: always("IQ3_XXS"),
    mixtralProjection: true,
    gateUp: ({ index, count }) =>
      index >= Math.floor(count / 8) && index < Math.floor((7 * count) / 8) ? "IQ3_XXS" : undefined,
  },
  IQ3_S: { value: grouped("Q4_K"), mixtralProjection: true },
  IQ3_M: {
    value: always("Q4_K"),
    projection: always("Q4_K"),
    mixtralProjection: true,
    down: (place, model) =>
      model.experts === 8 && isImportant(place) ? "Q4_K" : first(8, "Q4_K")(place, model),
  },
  Q3_K_S: { mixtralProjection: true },
  Q3_K_M: {
    value: ({ visited }) => (visited < 2 ? "Q5_K" : "Q4_K"),
    projection: always("Q4_K"),
    mixtralProjection: true,
    down: first(16, "Q5_K", "Q4_K"),
    falconDown: (place, model) => first(16, "Q5_K", isImportant(place) ? "Q4_K" : "Q3_K")(place, model),
  },
  Q3_K_L: {
    value: always("Q5_K"),
    projection: always("Q5_K"),
    down: always("Q5_K"),
    falconDown: always("Q4_K"),
    falconProjection: "Q4_K",
  },
  Q4_0: q40Row("Q4_1"),
  Q5_0: q40Row("Q5_1"),
  IQ4_NL: q4Row,
  IQ4_XS: q4Row,
  Q4_K_S: {
    value: ({ visited }) => (visited < 4 ? "Q5_K" : undefined),
    mixtralProjection: true,
    down: first(8, "Q5_K"),
    falconDown: () => undefined,
  },
  Q4_K_M: {
    value: important("Q6_K"),
    mixtralProjection: true,
    down: important("Q6_K"),
    falconDown: (place, model) => first(16, "Q6_K", isImportant(place) ? "Q5_K" : "Q4_K")(place, model),
  },
  Q5_K_M: { value: important("Q6_K"), down: important("Q6_K") },
};

/** What a mixture needs to know of a tensor. */
export interface MixtureTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * Starts a mixture. The returned function must be called once for each quantizable tensor that no rule
 * decides, in {@link processingOrder}; it returns the wanted type, before {@link fittingType}.
 */
export function startMixture(ftype: Ftype, model: MixtureModel): (tensor: MixtureTensor) => TypeName {
  const base = ftypeBaseType(ftype);
  const mixture = lowMixtures[ftype] ?? standard(base, rows[ftype] ?? {});
  const visits = new Map<Category, number>();

  return ({ name, shape }) => {
    if (!traitsOf(base).quantized) return base;
    const category = categoryOf(name);
    if (category === "output" || (category === "embedding" && model.tied)) {
      return outputType(ftype, mixture, shape, model);
    }
    if (ftype === "MXFP4_MOE") return mxfp4Type(category, shape, model);
    const visited = visits.get(category) ?? 0;
    visits.set(category, visited + 1);
    const count = category === "value" ? model.valueTensors : model.layers;
    const isFeedForward = category === "up" || category === "gate" || category === "down";
    const index = isFeedForward && model.experts > 1 ? (layerOf(name) ?? visited) : visited;
    return exceptionOf(mixture, category, { visited, index, count }, model) ?? base;
  };
}

function exceptionOf(
  mixture: Mixture,
  category: Category,
  place: Place,
  model: MixtureModel,
): TypeName | undefined {
  switch (category) {
    case "embedding":
      return mixture.embedding;
    case "value":
    case "key":
    case "query":
    case "projection":
    case "down":
      return mixture[category]?.(place, model);
    case "gate":
    case "up":
      return mixture.gateUp?.(place, model);
    case "other":
      return undefined;
    case "output":
      throw new InternalError("the output's type does not depend on its place");
  }
}

function outputType(ftype: Ftype, mixture: Mixture, shape: readonly number[], model: MixtureModel): TypeName {
  const base = ftypeBaseType(ftype);
  const fits = (shape[0] ?? 0) % traitsOf(base).blockSize === 0;
  if (ftype === "MXFP4_MOE" || base === "Q8_0" || model.architecture === "falcon" || !fits) return "Q8_0";
  return mixture.output ?? "Q6_K";
}

/** Expert matrices are the tensors of three dimensions, but BailingMoE 3 has other such ones too. */
function mxfp4Type(category: Category, shape: readonly number[], model: MixtureModel): TypeName {
  const stacked = (shape[2] ?? 1) > 1;
  const isFeedForward = category === "up" || category === "gate" || category === "down";
  return stacked && (model.architecture !== "bailingmoe3" || isFeedForward) ? "MXFP4" : "Q8_0";
}

/** Names of the "70B" class by architecture and number of layers (`load_arch_hparams` of each model). */
function is70B(architecture: Architecture): boolean {
  const layers = architecture.layers - architecture.nextnLayers;
  switch (architecture.name) {
    case "llama":
    case "llama-embed":
      return (
        layers === 80 && architecture.experts !== 8 && architecture.heads() !== architecture.keyValueHeads()
      );
    case "qwen2":
    case "deci":
    case "olmo":
      return layers === 80;
    case "jais2":
      return layers === 68;
    default:
      return false;
  }
}

/** Layers as llama.cpp counts them: Nanbeige runs its layers several times, Granite Switch adds one. */
function countedLayers(architecture: Architecture): number {
  if (architecture.name === "nanbeige") return architecture.layers * (architecture.number("num_loops") ?? 1);
  if (architecture.name === "graniteswitch") return architecture.layers - architecture.nextnLayers + 1;
  return architecture.layers;
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
