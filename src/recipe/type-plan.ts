/**
 * The type of every tensor of the output, decided before a weight is read. Order of decisions (llama.cpp
 * `llama_tensor_get_type` in `src/llama-quant.cpp`, with a recipe's rules after the options):
 *
 * 1. tensors that are never quantized keep their type;
 * 2. `--token-embedding-type`, `--output-tensor-type`;
 * 3. the first `--tensor-type` pattern that matches, then the first rule of the recipe;
 * 4. the base: llama.cpp's mixture, or with `--pure` its type alone;
 * 5. what no option names: low-bit sources are copied; with a recipe's rules, layers of multi-token prediction get types that they can have;
 * 6. if the rows do not fill the type's blocks, its replacement, unless that takes more than the source's own type.
 */
import { UsageError } from "../errors.js";
import type { Metadata } from "../gguf/metadata.js";
import { Architecture } from "../model/architecture.js";
import { isTied, layerOf, nextnLayersOf, type Role, roleOf } from "../model/roles.js";
import { bitsPerWeight, type TypeName, traitsOf } from "../quants/types.js";
import { fittingType } from "./fallback.js";
import { fileTypeOf } from "./file-type.js";
import { isAtLeast, leastType } from "./floor.js";
import { ftypeBaseType, isFtype } from "./ftypes.js";
import { startMixture } from "./mixture.js";
import { isTokenEmbedding, mixtureModel, processingOrder } from "./mixture-model.js";
import type { TypeOverrides } from "./overrides.js";
import { isQuantizable } from "./quantizable.js";
import type { Recipe } from "./recipe.js";
import { checkRequirements } from "./requirements.js";
import { overrideRule, RuleUse, recipeRule } from "./rules.js";
import { tensorNames } from "./tensor-list.js";

export interface TensorToPlan {
  readonly name: string;
  /** GGUF order: row length first. */
  readonly shape: readonly number[];
  readonly type: TypeName;
}

export interface PlanRequest {
  /** In file order. */
  readonly tensors: readonly TensorToPlan[];
  readonly metadata: Metadata;
  readonly recipe: Recipe;
  readonly overrides?: TypeOverrides;
  /** Whether the importance matrix has an entry for a tensor; undefined without importance matrix. */
  readonly hasImportance?: ((name: string) => boolean) | undefined;
}

export interface TensorDecision {
  readonly name: string;
  readonly shape: readonly number[];
  readonly role: Role;
  readonly from: TypeName;
  readonly to: TypeName;
  /** Who decided: an option, a rule, the mixture, ... */
  readonly reason: string;
  /** The type that was wanted, if the rows do not fill its blocks. */
  readonly fallbackFrom?: TypeName;
}

export interface TypePlan {
  /** In file order. */
  readonly tensors: readonly TensorDecision[];
  readonly warnings: readonly string[];
  /** Number for `general.file_type`. */
  readonly fileType: number;
}

/**
 * Decides all types and checks that they can be had. Throws a UsageError for rules and options that match
 * nothing and for types that cannot be produced; a MalformedInputError if the metadata lack what a mixture
 * needs.
 */
export function planTypes(request: PlanRequest): TypePlan {
  const plan = chooseTypes(request);
  checkRequirements(plan.tensors, {
    base: request.recipe.base,
    allowRequantize: request.overrides?.allowRequantize ?? false,
    hasImportance: request.hasImportance,
  });
  return plan;
}

/** Decides all types without asking whether they can be had: what llama-quantize would choose. */
export function chooseTypes(request: PlanRequest): TypePlan {
  const { tensors, recipe, overrides = {} } = request;
  const names = tensors.map(({ name }) => name);
  const decider = new Decider(request, names);
  const order = overrides.keepSplit ? tensors : processingOrder(tensors);
  const planned = new Map(order.map((tensor) => [tensor.name, decider.decide(tensor)]));
  const result = tensors.map(({ name }) => planned.get(name) as TensorDecision);
  return {
    tensors: result,
    warnings: [...decider.finish(), ...copiedWarnings(result), ...fallbackWarnings(result)],
    fileType: fileTypeOf(recipe, result, request.metadata),
  };
}

/** For tensors of multi-token prediction whose inputs are not known. */
const unmeasuredType: TypeName = "Q4_K";

/** Bits per weight up to which a quantized source counts as trained or made for its type: MXFP4, NVFP4, QAT's Q4_0. */
const lowBits = 4.5;

/** Whether a source of this type counts as one that is low-bit as it was published. */
export function isLowBit(type: TypeName): boolean {
  return traitsOf(type).quantized && bitsPerWeight(type) <= lowBits;
}

/** Whether a type takes more than the source's; another quantized type of the same size gains nothing either. */
function isDearer(type: TypeName, source: TypeName): boolean {
  const [bits, sourceBits] = [bitsPerWeight(type), bitsPerWeight(source)];
  return bits > sourceBits || (bits === sourceBits && traitsOf(source).quantized && type !== source);
}

interface Decision {
  readonly type: TypeName;
  readonly reason: string;
}

/** Carries what the decisions of one plan share: rules, counters of the mixture, options. */
class Decider {
  readonly #overrides: TypeOverrides;
  readonly #tied: boolean;
  readonly #names: readonly string[];
  readonly #options: RuleUse;
  readonly #rules: RuleUse;
  readonly #base: (tensor: TensorToPlan) => Decision;
  readonly #nextnLayers: ReadonlySet<number>;
  readonly #hasImportance: PlanRequest["hasImportance"];

  constructor({ recipe, overrides = {}, metadata, hasImportance }: PlanRequest, names: readonly string[]) {
    refuseIneffective(recipe, overrides);
    this.#overrides = overrides;
    this.#names = names;
    this.#tied = isTied(names);
    // Without rules a mixture's name means llama-quantize's choice for every tensor.
    this.#nextnLayers = recipe.rules.length > 0 ? nextnLayersOf(names) : new Set();
    this.#hasImportance = hasImportance;
    this.#options = new RuleUse((overrides.tensorTypes ?? []).map(overrideRule));
    this.#rules = new RuleUse(
      recipe.rules.map((rule, index) => recipeRule(rule, index + 1, recipe.name, this.#tied)),
    );
    const pure = (overrides.pure ?? false) || recipe.pure;
    this.#base = baseOf(recipe, pure, this.#tied ? overrides.outputTensorType : undefined, () =>
      mixtureModel(new Architecture(metadata), names, hasImportance !== undefined),
    );
  }

  decide(tensor: TensorToPlan): TensorDecision {
    const { name, shape, type: from } = tensor;
    const { type: wanted, reason } = this.#wantedType(tensor);
    const fitting = wanted === from ? from : fittingType(wanted, shape[0] ?? 0);
    if (fitting !== wanted && isDearer(fitting, from)) {
      const kept = `${reason}; its replacement ${fitting} is larger than the source`;
      return { name, shape, role: roleOf(name), from, to: from, reason: kept };
    }
    const to = fitting;
    const planned = { name, shape, role: roleOf(name), from, to, reason };
    return to === wanted ? planned : { ...planned, fallbackFrom: wanted };
  }

  #wantedType(tensor: TensorToPlan): Decision {
    const { name, shape, type } = tensor;
    const { tokenEmbeddingType, outputTensorType, leaveOutputTensor } = this.#overrides;
    if (!isQuantizable(name, shape)) {
      return { type, reason: "never quantized" };
    }
    const option = this.#options.decide(name);
    const rule = this.#rules.decide(name);
    if (leaveOutputTensor && name === "output.weight") {
      return { type, reason: "--leave-output-tensor" };
    }
    // The large table of Gemma 3n follows --token-embedding-type unless a pattern names it.
    const isNamed = name === "per_layer_token_embd.weight" && option !== undefined;
    if (tokenEmbeddingType !== undefined && isTokenEmbedding(name) && !isNamed) {
      return { type: tokenEmbeddingType, reason: "--token-embedding-type" };
    }
    if (outputTensorType !== undefined && name === "output.weight") {
      return { type: outputTensorType, reason: "--output-tensor-type" };
    }
    return option ?? this.#possible(tensor, rule ?? this.#base(tensor));
  }

  /** What a recipe's decision comes to for a tensor that no option names. */
  #possible({ name, type: from }: TensorToPlan, { type, reason }: Decision): Decision {
    if (isLowBit(from) && type !== from) {
      const { allowRequantize = false, copyLowBit = false } = this.#overrides;
      if (!allowRequantize || copyLowBit || isDearer(type, from)) {
        return { type: from, reason: `copied: ${from} already` };
      }
    }
    const layer = layerOf(name);
    if (layer === undefined || !this.#nextnLayers.has(layer) || !traitsOf(type).quantized) {
      return { type, reason };
    }
    const lacksImportance = traitsOf(type).importance !== undefined && !this.#hasImportance?.(name);
    return lacksImportance || !isAtLeast(type, leastType(name))
      ? { type: unmeasuredType, reason: `${reason}; at least ${unmeasuredType} without importance` }
      : { type, reason };
  }

  /** Refuses rules that matched nothing; returns warnings about options and rules without effect. */
  finish(): string[] {
    this.#options.refuseUnused(this.#names);
    this.#rules.refuseUnused(this.#names);
    const { tokenEmbeddingType, outputTensorType, leaveOutputTensor } = this.#overrides;
    const has = (wanted: string) => this.#names.includes(wanted);
    if (tokenEmbeddingType !== undefined && !this.#names.some(isTokenEmbedding)) {
      throw new UsageError("`tokenEmbeddingType`: this model has no token_embd.weight; remove the option.");
    }
    const warnings = this.#options.shadowed.map(
      ({ title }) => `${title} has no effect: earlier options decide all its tensors.`,
    );
    for (const { title } of this.#rules.shadowed) {
      warnings.push(`${title} has no effect: earlier rules decide all its tensors.`);
    }
    if (!has("output.weight") && leaveOutputTensor) {
      warnings.push("`leaveOutputTensor` has no effect: the token embedding serves as output.");
    }
    if (!has("output.weight") && outputTensorType !== undefined) {
      warnings.push(
        "`outputTensorType`: the token embedding serves as output; it follows unless a rule, `pure` or `tokenEmbeddingType` decides it.",
      );
    }
    return warnings;
  }
}

/** What the base gives to a tensor that nothing else decides. `tiedOutputType` is --output-tensor-type's. */
function baseOf(
  { base }: Recipe,
  pure: boolean,
  tiedOutputType: TypeName | undefined,
  model: () => ReturnType<typeof mixtureModel>,
): (tensor: TensorToPlan) => Decision {
  if (base === "COPY") {
    return ({ type }) => ({ type, reason: "copied" });
  }
  if (!isFtype(base)) {
    return () => ({ type: base, reason: `all ${base}` });
  }
  const type = ftypeBaseType(base);
  if (pure || !traitsOf(type).quantized) {
    return () => ({ type, reason: `all ${type}` });
  }
  const mixture = startMixture(base, model());
  return (tensor) =>
    tiedOutputType !== undefined && isTokenEmbedding(tensor.name)
      ? { type: tiedOutputType, reason: "--output-tensor-type" }
      : { type: mixture(tensor), reason: `${base} mixture` };
}

/** llama-quantize ignores patterns when the base is not a quantized type, and everything when it copies. */
function refuseIneffective({ base, rules }: Recipe, overrides: TypeOverrides): void {
  if (overrides.leaveOutputTensor && overrides.outputTensorType !== undefined) {
    throw new UsageError("`leaveOutputTensor` and `outputTensorType` contradict each other; use one.");
  }
  if (rules.length > 0) {
    return;
  }
  const baseType = base === "COPY" ? undefined : isFtype(base) ? ftypeBaseType(base) : base;
  if (baseType !== undefined && traitsOf(baseType).quantized) {
    return;
  }
  const isCopy = baseType === undefined;
  const [option] = [
    overrides.tensorTypes?.length ? "`tensorType`" : undefined,
    isCopy && overrides.tokenEmbeddingType ? "`tokenEmbeddingType`" : undefined,
    isCopy && overrides.outputTensorType ? "`outputTensorType`" : undefined,
  ].filter((name) => name !== undefined);
  if (option !== undefined) {
    throw new UsageError(
      `${option} has no effect with base ${base}, as in llama-quantize; choose a quantized base, or write a recipe with base ${base} and rules.`,
      { option, base },
    );
  }
}

/** Says which low-bit tensors are copied though the recipe asks for another type. */
function copiedWarnings(tensors: readonly TensorDecision[]): string[] {
  const names = tensors.filter(({ reason }) => reason.startsWith("copied: ")).map(({ name }) => name);
  return names.length === 0
    ? []
    : [
        `the source is low-bit already and is copied for ${tensorNames(names)}; --allow-requantize lowers what gets smaller.`,
      ];
}

/** One warning for each replacement of a type, whatever the number of tensors. */
function fallbackWarnings(tensors: readonly TensorDecision[]): string[] {
  const groups = new Map<string, string[]>();
  for (const { name, shape, to, fallbackFrom } of tensors) {
    if (fallbackFrom === undefined) {
      continue;
    }
    const { blockSize } = traitsOf(fallbackFrom);
    const text = `rows of ${shape[0]} weights do not fill blocks of ${fallbackFrom} (${blockSize}): ${to} instead for`;
    groups.set(text, [...(groups.get(text) ?? []), name]);
  }
  return [...groups].map(([text, names]) => `${text} ${tensorNames(names)}.`);
}
