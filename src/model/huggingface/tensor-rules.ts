/**
 * The naming tables of the families: which GGUF tensors come from which tensors of the checkpoint, of what shape,
 * and how their rows get there.
 */
import { InternalError } from "../../errors.js";
import type { Rows } from "./rows.js";
import type { RecentMatrices } from "./transformations/transpose.js";

/** Sizes by the names that shapes are written in. */
export type Sizes = Readonly<Record<string, number>>;

/** What a transformation may ask for beside the matrix. */
export interface TransformationContext {
  /** Shape of the GGUF tensor, row length first. */
  readonly shape: readonly number[];
  /** Size of this name in the layer of the tensor. */
  readonly size: (name: string) => number;
  readonly recent: RecentMatrices;
}

/** Makes the rows of a GGUF tensor of those of the checkpoint: one matrix for each name in `from`. */
export type Transformation = (sources: readonly [Rows, ...Rows[]], context: TransformationContext) => Rows;

/** A GGUF tensor that a rule gives. */
export interface TargetTensor {
  /** `{layer}` stands for the number of the layer. */
  readonly name: string;
  /** Names of sizes, row length first. */
  readonly shape: readonly string[];
  /** By default the rows as they are. */
  readonly via?: Transformation | undefined;
}

/**
 * One line of a naming table. In names `{layer}` and `{expert}` stand for numbers; the tensors of all experts are
 * stacked before anything else is done.
 */
export interface TensorRule {
  /** Names in the checkpoint: one, or several that make one tensor. */
  readonly from: readonly string[];
  /** Shape of each of them in the checkpoint, written like a GGUF shape; experts count as its last dimension. */
  readonly shape: readonly string[];
  readonly to: readonly TargetTensor[];
  /** Layers that have it: those for which the family says this word; by default all. */
  readonly layers?: string | undefined;
  /** Whether a model may lack it: always, or if its output is its embedding. */
  readonly optional?: "always" | "if tied" | undefined;
}

type RuleOptions = Pick<TensorRule, "layers" | "optional"> & {
  readonly via?: Transformation;
  /** Shape in the checkpoint, if it is not the target's. */
  readonly stored?: readonly string[];
};

/** A rule for one tensor that becomes one tensor. */
export function rule(
  from: string,
  to: string,
  shape: readonly string[],
  { via, stored = shape, ...options }: RuleOptions = {},
): TensorRule {
  return { from: [from], shape: stored, to: [{ name: to, shape, via }], ...options };
}

/** A rule for a tensor of `stored` shape that becomes several. */
export function split(
  from: string,
  stored: readonly string[],
  to: readonly TargetTensor[],
  options: Pick<TensorRule, "layers" | "optional"> = {},
): TensorRule {
  return { from: [from], shape: stored, to, ...options };
}

/** Rules of one layer: the prefixes are put before the names. */
export function inLayers(
  prefix: string,
  rules: readonly TensorRule[],
  target = "blk.{layer}.",
): TensorRule[] {
  return rules.map((one) => ({
    ...one,
    from: one.from.map((name) => prefix + name),
    to: one.to.map((tensor) => ({ ...tensor, name: target + tensor.name })),
  }));
}

/** The rules, each for the layers of one kind only. */
export function onlyIn(layers: string, rules: readonly TensorRule[]): TensorRule[] {
  return rules.map((one) => ({ ...one, layers }));
}

/** The rules, each for tensors that a model may lack. */
export function optional(rules: readonly TensorRule[]): TensorRule[] {
  return rules.map((one) => ({ ...one, optional: "always" }));
}

/** Sizes of a shape that is written in names. */
export function sizesOf(shape: readonly string[], sizes: Sizes): readonly number[] {
  return shape.map((name) => {
    const size = sizes[name];
    if (size === undefined) {
      throw new InternalError(`a naming table asks for the size "${name}", which its family does not give.`);
    }
    return size;
  });
}
