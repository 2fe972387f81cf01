/**
 * Applying llama.cpp's standard mixtures: which type each tensor gets when a file is quantized as, say,
 * `Q4_K_M`. Source: `llama_tensor_get_type_impl` in llama.cpp `src/llama-quant.cpp` (v0.5.0).
 *
 * The choices depend on the order in which tensors are asked for, because some count the tensors before them.
 * A tensor that a user's rule decides is not counted, so such rules shift the exceptions of the others.
 */
import { InternalError } from "../errors.js";
import { layerOf } from "../model/roles.js";
import { type TypeName, traitsOf } from "../quants/types.js";
import { type Ftype, ftypeBaseType } from "./ftypes.js";
import { type Category, categoryOf, type MixtureModel } from "./mixture-model.js";
import { type Mixture, mixtureOf, type Place } from "./mixture-table.js";

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
  const mixture = mixtureOf(ftype);
  const visits = new Map<Category, number>();

  return ({ name, shape }) => {
    if (!traitsOf(base).quantized) {
      return base;
    }
    const category = categoryOf(name);
    if (category === "output" || (category === "embedding" && model.tied)) {
      return outputType(ftype, mixture, shape, model);
    }
    if (ftype === "MXFP4_MOE") {
      return mxfp4Type(category, shape, model);
    }
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
  if (ftype === "MXFP4_MOE" || base === "Q8_0" || model.architecture === "falcon" || !fits) {
    return "Q8_0";
  }
  return mixture.output ?? "Q6_K";
}

/** Expert matrices are the tensors of three dimensions, but BailingMoE 3 has other such ones too. */
function mxfp4Type(category: Category, shape: readonly number[], model: MixtureModel): TypeName {
  const stacked = (shape[2] ?? 1) > 1;
  const isFeedForward = category === "up" || category === "gate" || category === "down";
  return stacked && (model.architecture !== "bailingmoe3" || isFeedForward) ? "MXFP4" : "Q8_0";
}
