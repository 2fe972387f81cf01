/**
 * llama.cpp's standard mixtures as a table: each is its base type plus exceptions, one row per mixture. Rules
 * and numbers: `llama_tensor_get_type_impl` in llama.cpp `src/llama-quant.cpp` (v0.5.0); tests compare every
 * row with it.
 */
import type { TypeName } from "../quants/types.js";
import { type Ftype, ftypeBaseType } from "./ftypes.js";
import type { MixtureModel } from "./mixture-model.js";

/** Where a tensor stands among those of its category. */
export interface Place {
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
export interface Mixture {
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
      if (model.experts === 8) {
        return "Q8_0";
      }
      const type = row.value?.(place, model) ?? base;
      return model.is70B && (type === "Q3_K" || type === "Q4_K") ? "Q5_K" : type;
    },
    key: (place, model) => (model.experts === 8 ? "Q8_0" : row.key?.(place, model)),
    projection: (place, model) => {
      if (model.architecture === "falcon") {
        return row.falconProjection;
      }
      if (model.experts === 8) {
        return row.mixtralProjection && "Q5_K";
      }
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

/** The exceptions of a mixture. */
export function mixtureOf(ftype: Ftype): Mixture {
  return lowMixtures[ftype] ?? standard(ftypeBaseType(ftype), rows[ftype] ?? {});
}
