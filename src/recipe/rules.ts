/** Rules of recipes and `--tensor-type` options, made ready to be asked which tensors they select. */

import { abbreviate, nearest } from "../contract/suggest.js";
import { UsageError } from "../errors.js";
import { layerOf, namesFusedOrNot, roleMatchesFusedOrNot, roleOf, rolesOf } from "../model/roles.js";
import type { TypeName } from "../quants/types.js";
import type { TensorTypeOverride } from "./overrides.js";
import type { Rule } from "./recipe.js";
import { tensorNames } from "./tensor-list.js";

export interface TypeRule {
  /** What to call it in messages. */
  readonly title: string;
  /** Why a tensor has its type, for the plan. */
  readonly reason: string;
  readonly type: TypeName;
  readonly optional: boolean;
  selects(name: string): boolean;
  /** What else might be meant, when it selects nothing; the end of a sentence. */
  hint(names: readonly string[]): string;
}

/**
 * A `--tensor-type` option as a rule. A pattern for gate or up of routed experts fits the fused tensor too, and the
 * other way round.
 */
export function overrideRule({ pattern, type }: TensorTypeOverride): TypeRule {
  const regex = new RegExp(pattern, "i");
  const title = `\`tensorType\` ${pattern}=${type}`;
  return {
    title,
    reason: title,
    type,
    optional: false,
    selects: (name) => [name, ...namesFusedOrNot(name)].some((one) => regex.test(one)),
    hint: (names) => patternHint(pattern, names),
  };
}

/**
 * A recipe's rule; `tied` tells whether the token embedding is also the output. A rule for gate or up of routed experts
 * is one for the fused tensor too, and the other way round.
 */
export function recipeRule(rule: Rule, number: number, recipeName: string, tied: boolean): TypeRule {
  const { tensors, match, layers } = rule;
  const regex = match === undefined ? undefined : new RegExp(match);
  const hasRole = (name: string) =>
    tensors === undefined ||
    rolesOf(name, tied).some((role) => tensors.some((selector) => roleMatchesFusedOrNot(selector, role)));
  const hasName = (name: string) => regex === undefined || regex.test(name);
  const inLayers = (name: string) => {
    if (layers === undefined) {
      return true;
    }
    const layer = layerOf(name);
    return layer !== undefined && layers.some(([first, last]) => first <= layer && layer <= last);
  };
  return {
    title: `${rule.place}: rule ${number} (${describe(rule)})`,
    reason: `rule ${number} of ${recipeName}`,
    type: rule.type,
    optional: rule.optional,
    selects: (name) => hasRole(name) && hasName(name) && inLayers(name),
    hint: (names) => {
      const inOtherLayers = names.filter((name) => hasRole(name) && hasName(name));
      if (inOtherLayers.length > 0) {
        return layerHint(inOtherLayers);
      }
      if (match !== undefined && !names.some(hasName)) {
        return patternHint(match, names);
      }
      return roleHint(names);
    },
  };
}

/** What a rule selects, in short. */
function describe({ tensors = [], match, layers = [] }: Rule): string {
  const ranges = layers.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`));
  const parts = [...tensors, ...(match === undefined ? [] : [match])];
  return [...parts, ...(ranges.length > 0 ? [`layers ${ranges.join(", ")}`] : [])].join(", ");
}

function layerHint(names: readonly string[]): string {
  const layers = names.map(layerOf).filter((layer) => layer !== undefined);
  if (layers.length === 0) {
    return "; such tensors are in no layer.";
  }
  return `; such tensors are in layers ${Math.min(...layers)} to ${Math.max(...layers)}.`;
}

function roleHint(names: readonly string[]): string {
  const present = [...new Set(names.map(roleOf))];
  return `; its roles are ${present.sort().join(", ")}.`;
}

/** Suggests names like the longest word of a pattern, or whole names if only the layer can be wrong. */
function patternHint(pattern: string, names: readonly string[]): string {
  const words = pattern.match(/[a-z][a-z0-9_]*/gi) ?? [];
  const word = words.reduce((longest, next) => (next.length > longest.length ? next : longest), "");
  const stems = [...new Set(names.map((name) => name.replace(/^blk\.\d+\./, "").replace(/\.weight$/, "")))];
  const near = stems.some((stem) => stem.includes(word.toLowerCase()))
    ? nearest(pattern.replaceAll("\\", ""), names)
    : nearest(word, stems);
  return near.length > 0 ? `; did you mean ${near.join(" or ")}?` : `; names are like ${abbreviate(stems)}.`;
}

/** What became of each rule: how many tensors it selects, and of how many it decides the type. */
export class RuleUse {
  readonly #asked: string[] = [];
  readonly #selected = new Map<TypeRule, number>();
  readonly #decided = new Map<TypeRule, number>();
  readonly rules: readonly TypeRule[];

  constructor(rules: readonly TypeRule[]) {
    this.rules = rules;
  }

  /** The first rule that selects a tensor; remembers all that do. */
  decide(name: string): TypeRule | undefined {
    this.#asked.push(name);
    let deciding: TypeRule | undefined;
    for (const rule of this.rules) {
      if (!rule.selects(name)) {
        continue;
      }
      deciding ??= rule;
      increment(this.#selected, rule);
    }
    if (deciding !== undefined) {
      increment(this.#decided, deciding);
    }
    return deciding;
  }

  /**
   * Throws a UsageError for the first rule that selects none of the tensors it was asked about; `allNames` has
   * those that are never quantized too.
   */
  refuseUnused(allNames: readonly string[]): void {
    for (const rule of this.rules) {
      if (rule.optional || this.#selected.has(rule)) {
        continue;
      }
      const kept = allNames.filter((name) => rule.selects(name));
      throw new UsageError(
        kept.length > 0
          ? `${rule.title} matches only tensors that are never quantized: ${tensorNames(kept)}; remove it.`
          : `${rule.title} matches no tensor of this model${rule.hint(this.#asked)}`,
        { rule: rule.title },
      );
    }
  }

  /** Rules whose tensors were all decided by earlier ones. */
  get shadowed(): TypeRule[] {
    return this.rules.filter((rule) => this.#selected.has(rule) && !this.#decided.has(rule));
  }
}

function increment<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
