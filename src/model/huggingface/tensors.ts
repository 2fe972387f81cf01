/**
 * From the tensors of a Hugging Face model to those of a GGUF file: names, shapes, and where the rows lie.
 * Nothing is read here; every shape is checked against config.json.
 */
import { MalformedInputError } from "../../errors.js";
import type { SafetensorsTensor } from "../../safetensors/header.js";
import type { Dimensions, HuggingFaceArchitecture, TensorRule } from "./architecture.js";
import {
  isPerExpert,
  type RuleMatch,
  ruleFinder,
  sourceName,
  sourceShape,
  targetNames,
  targetShape,
} from "./rules.js";
import type { RowStretch, StretchedTensor } from "./stretches.js";

/** Buffers that some exporters leave in the files; llama.cpp's converter skips them too. */
const ignored = /(\.attention\.masked_bias|\.attention\.bias|\.rotary_emb\.inv_freq)$/;

/** What is expected of a model's tensors. */
export interface TensorPlan {
  /** What to call the model in messages. */
  readonly name: string;
  readonly architecture: HuggingFaceArchitecture;
  readonly dimensions: Dimensions;
  /** Whether the output matrix is the embedding and may be absent. */
  readonly tied: boolean;
}

interface Match extends RuleMatch {
  readonly tensor: SafetensorsTensor;
}

/**
 * The GGUF tensors of a model, in the order of the Hugging Face tensors; the stacked experts of a layer stand
 * together where the layer's last expert does, as llama.cpp's converter writes them.
 *
 * Throws a MalformedInputError that names the tensor if one has no rule, a dtype other than F32, F16 and BF16,
 * a shape that contradicts config.json, or is missing.
 */
export function mapTensors(
  plan: TensorPlan,
  tensors: Iterable<SafetensorsTensor>,
): readonly StretchedTensor[] {
  const { architecture, dimensions } = plan;
  const findRule = ruleFinder(architecture.tensors);
  const mapped = new Map<string, StretchedTensor>();
  const experts = new ExpertStacks(plan);
  for (const tensor of tensors) {
    if (ignored.test(tensor.name)) continue;
    const rule = findRule(tensor.name);
    if (!rule) fail(tensor, `has no place in the architecture ${architecture.gguf}`);
    const found = { ...rule, tensor };
    checkTensor(found, dimensions);
    const ready = found.expert === undefined ? wholeTensors(found, dimensions) : experts.add(found);
    for (const one of ready) {
      if (mapped.has(one.name)) fail(tensor, `gives ${one.name} a second time`);
      mapped.set(one.name, one);
    }
  }
  experts.checkComplete();
  checkComplete(plan, mapped);
  return [...mapped.values()];
}

function checkTensor({ rule, layer, expert, tensor }: Match, dimensions: Dimensions): void {
  if (!["F32", "F16", "BF16"].includes(tensor.dtype)) {
    fail(tensor, `has dtype ${tensor.dtype}, but only F32, F16 and BF16 can be converted`);
  }
  const layers = dimensions.layers ?? 0;
  if (layer !== undefined && layer >= layers)
    fail(tensor, `is of layer ${layer}, but config.json has ${layers}`);
  const experts = dimensions.experts ?? 0;
  if (expert !== undefined && expert >= experts) {
    fail(tensor, `is of expert ${expert}, but config.json has ${experts}`);
  }
  const expected = sourceShape(rule, dimensions);
  if (tensor.shape.join() !== expected.join()) {
    fail(tensor, `has shape [${tensor.shape.join(", ")}], but config.json asks for [${expected.join(", ")}]`);
  }
}

/** The GGUF tensors of a Hugging Face tensor that is not one expert of many. */
function wholeTensors({ rule, layer, tensor }: Match, dimensions: Dimensions): readonly StretchedTensor[] {
  const shape = targetShape(rule, dimensions);
  const [, rows = 1, outer = 1] = shape;
  const names = targetNames(rule, layer);
  return names.map((name, part) => ({
    name,
    shape,
    stretches: Array.from({ length: outer }, (_, index) => ({
      tensor,
      firstRow: (index * names.length + part) * rows,
      rows,
    })),
  }));
}

/** Collects the experts of each layer until they can be stacked. */
class ExpertStacks {
  private readonly rules: readonly TensorRule[];
  private readonly dimensions: Dimensions;
  /** Layer -> rule -> expert -> tensor. A layer is taken out once it is stacked. */
  private readonly layers = new Map<number, Map<TensorRule, Map<number, SafetensorsTensor>>>();

  constructor(private readonly plan: TensorPlan) {
    this.rules = plan.architecture.tensors.filter(isPerExpert);
    this.dimensions = plan.dimensions;
  }

  /** Takes one expert's tensor; gives the stacked tensors of its layer once they are complete. */
  add({ rule, layer = 0, expert = 0, tensor }: Match): readonly StretchedTensor[] {
    const found = this.layers.get(layer) ?? new Map(this.rules.map((one) => [one, new Map()]));
    this.layers.set(layer, found);
    found.get(rule)?.set(expert, tensor);
    const experts = this.dimensions.experts ?? 0;
    if (this.rules.some((one) => found.get(one)?.size !== experts)) return [];
    this.layers.delete(layer);
    return this.rules.map((one) => this.stack(one, layer, found.get(one) ?? new Map()));
  }

  private stack(
    rule: TensorRule,
    layer: number,
    experts: ReadonlyMap<number, SafetensorsTensor>,
  ): StretchedTensor {
    const shape = targetShape(rule, this.dimensions);
    const stretches: RowStretch[] = [...experts]
      .sort(([a], [b]) => a - b)
      .map(([, tensor]) => ({ tensor, firstRow: 0, rows: shape[1] ?? 1 }));
    const [first] = stretches;
    for (const { tensor } of stretches) {
      if (tensor.dtype !== first?.tensor.dtype) {
        fail(tensor, `has dtype ${tensor.dtype}, but the layer's first expert has ${first?.tensor.dtype}`);
      }
    }
    return { name: targetNames(rule, layer)[0] ?? "", shape, stretches };
  }

  /** Throws if a layer has some of its experts but not all. */
  checkComplete(): void {
    for (const [layer, found] of this.layers) {
      for (const [rule, experts] of found) {
        for (let expert = 0; expert < (this.dimensions.experts ?? 0); expert++) {
          if (!experts.has(expert)) missing(this.plan, rule, layer, expert);
        }
      }
    }
  }
}

/** Throws if a tensor that the architecture needs has not been found. */
function checkComplete(plan: TensorPlan, mapped: ReadonlyMap<string, StretchedTensor>): void {
  for (const rule of plan.architecture.tensors) {
    if (rule.optional === "always" || (rule.optional === "if tied" && plan.tied)) continue;
    const layers = rule.from.includes("{layer}") ? (plan.dimensions.layers ?? 0) : 1;
    for (let layer = 0; layer < layers; layer++) {
      if (!targetNames(rule, layer).every((name) => mapped.has(name))) missing(plan, rule, layer, 0);
    }
  }
}

function missing(plan: TensorPlan, rule: TensorRule, layer: number, expert: number): never {
  const name = sourceName(rule, layer, expert);
  throw new MalformedInputError(
    `${plan.name}: tensor "${name}" is missing, which the ${plan.architecture.gguf} model of config.json needs; check that all files are downloaded.`,
    { file: plan.name, tensor: name },
  );
}

function fail(tensor: SafetensorsTensor, problem: string): never {
  throw new MalformedInputError(`${tensor.source.name}: tensor "${tensor.name}" ${problem}.`, {
    file: tensor.source.name,
    tensor: tensor.name,
  });
}
