/** What `plan` solves: tensors with the types that each may have, what these take, and what they cost the model. */
import { UsageError } from "../errors.js";
import { padTo } from "../gguf/format.js";
import { type RoleSelector, roleMatchesFusedOrNot, roleOf } from "../model/roles.js";
import { rowCount, weightCount } from "../model/source.js";
import { type Backend, bitsPerWeight, parseTypeName, rowBytes, type TypeName } from "../quants/types.js";
import { isQuantizable } from "../recipe/quantizable.js";
import type { Recipe } from "../recipe/recipe.js";
import type { AllocationOption } from "./allocation.js";
import type { Budget } from "./budget.js";
import {
  type CandidateTensor,
  candidateTypes,
  parseRoleLimit,
  parseRoleSelector,
  type RoleLimit,
} from "./candidates.js";
import { recipeOf } from "./planned-recipe.js";
import type { Sensitivity } from "./sensitivity/defaults.js";
import type { ErrorCurve } from "./typical-curves.js";

/** What the user rules out. */
export interface Rules {
  readonly limits: readonly RoleLimit[];
  /** Roles whose tensors get one type in all layers. */
  readonly tied: readonly RoleSelector[];
}

/** A tensor, or several that are to have the same type. */
export interface Item<Tensor extends CandidateTensor = CandidateTensor> {
  readonly tensors: readonly Tensor[];
  readonly types: readonly TypeName[];
}

export interface Problem {
  readonly items: readonly Item[];
  readonly budget: Budget;
  readonly sensitivity: Sensitivity;
  /** By tensor name. */
  readonly curves: ReadonlyMap<string, ErrorCurve>;
}

/** What is ruled out, in the words of the options. */
export interface RuleTexts {
  readonly allow?: readonly string[] | undefined;
  readonly atLeast?: readonly string[] | undefined;
  readonly atMost?: readonly string[] | undefined;
  readonly tie?: readonly string[] | undefined;
}

/** Throws a UsageError for what is no role or type. */
export function parseRules({ allow = [], atLeast = [], atMost = [], tie = [] }: RuleTexts): Rules {
  return {
    limits: [
      ...allow.map((text) => parseRoleLimit(text, "allowed", parseTypeName)),
      ...atLeast.map((text) => parseRoleLimit(text, "least", parseTypeName)),
      ...atMost.map((text) => parseRoleLimit(text, "most", parseTypeName)),
    ],
    tied: tie.map(parseRoleSelector),
  };
}

export interface ItemOptions extends Rules {
  /** Only types with fast kernels there. */
  readonly backend?: Backend | undefined;
  readonly hasImportance: ((name: string) => boolean) | undefined;
  /** Tensors that do not count; `mostOfUnloaded` is the most they get. */
  readonly unloaded?: ((name: string) => boolean) | undefined;
}

/** What costs nothing would otherwise keep the source's type. */
const mostOfUnloaded: TypeName = "Q6_K";

/**
 * All tensors with the types they may have; those of tied roles together. Throws a UsageError if a tensor is left no
 * type.
 */
export function itemsOf<Tensor extends CandidateTensor>(
  tensors: readonly Tensor[],
  { limits, tied, backend, hasImportance, unloaded }: ItemOptions,
): Item<Tensor>[] {
  const items = new Map<string, { tensors: Tensor[]; types: TypeName[] }>();
  for (const tensor of tensors) {
    const { name, shape } = tensor;
    const possible = candidateTypes(tensor, { limits, backend, hasImportance });
    const smaller = possible.filter((type) => bitsPerWeight(type) <= bitsPerWeight(mostOfUnloaded));
    const types = unloaded?.(name) && smaller.length > 0 ? smaller : possible;
    const isTogether =
      isQuantizable(name, shape) && tied.some((role) => roleMatchesFusedOrNot(role, roleOf(name)));
    const key = isTogether ? roleOf(name) : name;
    const item = items.get(key);
    if (item === undefined) {
      items.set(key, { tensors: [tensor], types });
      continue;
    }
    item.tensors.push(tensor);
    item.types = item.types.filter((type) => types.includes(type));
    if (item.types.length === 0) {
      throw new UsageError(`\`tie\` ${key}: no type is possible for all of its tensors; let them be free.`);
    }
  }
  return [...items.values()];
}

/** For each item what each of its types takes of the budget and costs the model. */
export function choicesOf({ items, ...problem }: Problem): AllocationOption[][] {
  return items.map((item) => optionsOf(item, problem));
}

function optionsOf(
  { tensors, types }: Item,
  { budget, sensitivity, curves }: Omit<Problem, "items">,
): AllocationOption[] {
  return types.map((type) => ({
    bytes: tensors.reduce(
      (sum, { name, shape }) => sum + budget.copies(name) * storedBytes(type, shape, budget),
      0,
    ),
    cost: tensors.reduce(
      (sum, { name }) => sum + alphaOf(name, sensitivity) * errorOf(name, type, curves),
      0,
    ),
  }));
}

function storedBytes(type: TypeName, shape: readonly number[], { isFile }: Budget): number {
  const bytes = rowCount(shape) * rowBytes(type, shape[0] ?? 1);
  return isFile ? padTo(bytes, 32) : bytes;
}

/** Nats of divergence for each unit of a tensor's relative error. */
export function alphaOf(name: string, { alphas }: Sensitivity): number {
  return alphas.get(name) ?? 0;
}

/** A tensor's relative error as a type. */
export function errorOf(name: string, type: TypeName, curves: ReadonlyMap<string, ErrorCurve>): number {
  return curves.get(name)?.get(type) ?? 0;
}

/** The type of each tensor, by name. */
export function typesOf(items: readonly Item[], choice: readonly number[]): Map<string, TypeName> {
  const types = new Map<string, TypeName>();
  for (const [i, { tensors, types: candidates }] of items.entries()) {
    for (const { name, type } of tensors) {
      types.set(name, candidates[choice[i] ?? 0] ?? type);
    }
  }
  return types;
}

/** The recipe that gives each tensor of a model its type. `changes`: what else becomes of its experts. */
export function plannedRecipe(
  tensors: readonly CandidateTensor[],
  types: ReadonlyMap<string, TypeName>,
  { title }: Budget,
  changes: Pick<Recipe, "keepExperts" | "padExperts"> = {},
): Recipe {
  const recipe = recipeOf(
    `planned-${bitsPerWeightOf(tensors, types).toFixed(2)}bpw`,
    `Least predicted divergence within ${title}.`,
    tensors
      .filter(({ name, shape }) => isQuantizable(name, shape))
      .map(({ name, type }) => ({ name, type: types.get(name) ?? type })),
  );
  return { ...recipe, ...changes };
}

function bitsPerWeightOf(tensors: readonly CandidateTensor[], types: ReadonlyMap<string, TypeName>): number {
  const parameters = tensors.reduce((sum, { shape }) => sum + weightCount(shape), 0);
  const bytes = tensors.reduce(
    (sum, { name, type, shape }) => sum + rowCount(shape) * rowBytes(types.get(name) ?? type, shape[0] ?? 1),
    0,
  );
  return (8 * bytes) / parameters;
}
