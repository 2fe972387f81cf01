/** A recipe from the types of all tensors: rules by role and layers, so that a person can read and change it. */
import { layerOf, type Role, roleMatches, roleOf, roles } from "../model/roles.js";
import type { TypeName } from "../quants/types.js";
import type { Recipe, Rule } from "../recipe/recipe.js";
import type { LayerRange } from "../recipe/schema.js";

export interface TypedTensor {
  readonly name: string;
  readonly type: TypeName;
}

/** Tensors that one rule's selector stands for, all of one type within a layer. */
interface Family {
  readonly role: Role | undefined;
  /** Regular expression on names, where the role alone does not tell tensors apart. */
  readonly match: string | undefined;
  readonly members: readonly TypedTensor[];
}

/** The rules that give each tensor its type; what they do not name keeps its own. */
export function recipeOf(name: string, description: string, tensors: readonly TypedTensor[]): Recipe {
  const families = familiesOf(tensors);
  // The first rule that selects a tensor counts: what selects less goes before what selects more.
  const ordered = [
    ...families.filter(({ match }) => match !== undefined),
    ...families.filter(({ match, role }) => match === undefined && isPartOfRole(role)),
    ...families.filter(({ match, role }) => match === undefined && !isPartOfRole(role)),
  ];
  const rules = mergeRoles(ordered.flatMap(rulesOf));
  return { name, description, base: "COPY", pure: false, rules };
}

/** Whether another role's name selects tensors of this one too, as `embedding` does those of `embedding.table`. */
function isPartOfRole(role: Role | undefined): boolean {
  return role !== undefined && roles.some((other) => other !== role && roleMatches(other, role));
}

function familiesOf(tensors: readonly TypedTensor[]): Family[] {
  const byRole = groupBy(tensors, ({ name }) => roleOf(name));
  return roles.flatMap((role): Family[] => {
    const members = byRole.get(role) ?? [];
    const inLayers = members.filter(({ name }) => layerOf(name) !== undefined);
    if (members.length === 0) {
      return [];
    }
    // Layers cannot tell apart what is in none: such tensors get rules of their own if they need several types.
    if (inLayers.length === 0 || inLayers.length === members.length || hasOneType(members)) {
      return familiesOfRole(role, members);
    }
    const outside = members.filter(({ name }) => layerOf(name) === undefined);
    return [...byName(outside), ...familiesOfRole(role, inLayers)];
  });
}

function familiesOfRole(role: Role, members: readonly TypedTensor[]): Family[] {
  // Several tensors of a layer may have one role, and not the same type: they are told apart by name.
  return hasOneTypePerLayer(members) ? [{ role, match: undefined, members }] : byName(members);
}

function byName(members: readonly TypedTensor[]): Family[] {
  const stems = groupBy(members, ({ name }) => name.replace(/^blk\.\d+\./, "blk.*."));
  return [...stems].map(([stem, ofStem]) => ({
    role: undefined,
    match: `^${stem.replaceAll(".", "\\.").replace("*", "\\d+")}$`,
    members: ofStem,
  }));
}

function hasOneType(members: readonly TypedTensor[]): boolean {
  return new Set(members.map(({ type }) => type)).size === 1;
}

function hasOneTypePerLayer(members: readonly TypedTensor[]): boolean {
  const byLayer = groupBy(members, ({ name }) => layerOf(name));
  return [...byLayer.values()].every(hasOneType);
}

/** One rule for each type; without layers if there is only one type. */
function rulesOf({ role, match, members }: Family): Rule[] {
  const byType = groupBy(members, ({ type }) => type);
  return [...byType].map(([type, ofType]) => ({
    ...(role !== undefined && { tensors: [role] }),
    ...(match !== undefined && { match }),
    ...(byType.size > 1 && { layers: rangesOf(ofType.map(({ name }) => layerOf(name) ?? 0)) }),
    type,
    optional: false,
    place: "plan",
  }));
}

/** Rules of the same type for the same layers become one. */
function mergeRoles(rules: readonly Rule[]): Rule[] {
  const groups = groupBy(rules, ({ type, layers, match }) => JSON.stringify([type, layers, match]));
  return [...groups.values()].map((group) => {
    const [first] = group as [Rule, ...Rule[]];
    const tensors = group.flatMap((rule) => rule.tensors ?? []);
    return tensors.length > 0 ? { ...first, tensors } : first;
  });
}

function rangesOf(layers: readonly number[]): LayerRange[] {
  const ranges: [number, number][] = [];
  for (const layer of [...new Set(layers)].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && layer === last[1] + 1) {
      last[1] = layer;
    } else {
      ranges.push([layer, layer]);
    }
  }
  return ranges;
}

function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) {
      group.push(item);
    } else {
      groups.set(key, [item]);
    }
  }
  return groups;
}
