/**
 * Recipes: which type each tensor gets. A recipe file is YAML:
 *
 *     name: asym-2bit-experts
 *     base: IQ3_S                  # a mixture of llama.cpp for what no rule matches, a type, or COPY
 *     keepExperts: 96              # the others are left out; all are kept without this line
 *     padExperts: true             # make experts as wide as a multiple of 256
 *     rules:                       # the first rule that matches a tensor decides
 *       - { tensors: [routed.gate, routed.up], type: IQ2_S }
 *       - { tensors: routed.down, layers: 0-5, type: Q4_K }
 *       - { match: attn_v, type: Q6_K, optional: true }
 */
import { type Document, isMap, isNode, isScalar, isSeq } from "yaml";
import type { z } from "zod";
import { suggestion } from "../contract/suggest.js";
import { MalformedInputError } from "../errors.js";
import type { RoleSelector } from "../model/roles.js";
import type { TypeName } from "../quants/types.js";
import type { Base } from "./ftypes.js";
import { type LayerRange, recipeKeys, recipeSchema, ruleKeys } from "./schema.js";
import { parseYaml } from "./yaml.js";

/** Chooses tensors by role, name and layer; all conditions that are given must hold. */
export interface Rule {
  readonly tensors?: readonly RoleSelector[];
  /** JavaScript regular expression, searched anywhere in the tensor's name. */
  readonly match?: string;
  readonly layers?: readonly LayerRange[];
  readonly type: TypeName;
  /** Whether the rule may match nothing. */
  readonly optional: boolean;
  /** Where the rule stands, for messages: `file.yaml:5`. */
  readonly place: string;
}

export interface Recipe {
  readonly name: string;
  readonly description?: string;
  /** What no rule decides. */
  readonly base: Base;
  /** Whether the base's type is used without the exceptions of its mixture. */
  readonly pure: boolean;
  /** Routed experts that each layer keeps, those that add most by the importance matrix; all of them if undefined. */
  readonly keepExperts?: number;
  /** Whether experts are made wider with zeros, to the next multiple of 256 (see `withPaddedExperts`). */
  readonly padExperts?: boolean;
  readonly rules: readonly Rule[];
}

/** The recipe that is just one of llama.cpp's mixtures, a type, or COPY. */
export function baseRecipe(base: Base): Recipe {
  return { name: base, base, pure: false, rules: [] };
}

/** Recipes are small: a larger file is something else, given by mistake. */
const largestFile = 1 << 20;

/**
 * Reads a recipe file's text. `file` is what messages call it. Throws a MalformedInputError that names the
 * line and suggests the nearest allowed word.
 */
export function parseRecipe(text: string, file: string): Recipe {
  if (text.length > largestFile) {
    throw new MalformedInputError(
      `${file}: a recipe has less than a million characters, but this file has ${text.length}; it is not a recipe.`,
      { file },
    );
  }
  const { document, lines } = parseYaml(text, (line, problem) => malformed(file, line, problem));
  const lineOf = (path: readonly PropertyKey[]) => lines.linePos(positionOf(document, path)).line;

  const result = recipeSchema.safeParse(document.toJS());
  if (!result.success) {
    const [worst] = result.error.issues
      .map((issue) => explain(document, issue))
      .sort((a, b) => Number(b.isUnknownKey) - Number(a.isUnknownKey) || lineOf(a.path) - lineOf(b.path));
    throw malformed(file, lineOf(worst?.path ?? []), worst?.message ?? "not a recipe.");
  }
  const { rules, description, keepExperts, padExperts, ...recipe } = result.data;
  return {
    ...recipe,
    ...(description === undefined ? {} : { description }),
    ...(keepExperts === undefined ? {} : { keepExperts }),
    ...(padExperts ? { padExperts } : {}),
    rules: rules.map(({ tensors, match, layers, ...rule }, index) => ({
      ...rule,
      ...(tensors === undefined ? {} : { tensors }),
      ...(match === undefined ? {} : { match }),
      ...(layers === undefined ? {} : { layers }),
      place: `${file}:${lineOf(["rules", index])}`,
    })),
  };
}

/** Where a value stands in the text; for the key of a mapping, the key. */
function positionOf(document: Document, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length--) {
    const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1];
    if (isMap(parent)) {
      const pair = parent.items.find(({ key }) => isScalar(key) && key.value === last);
      if (isScalar(pair?.key) && pair.key.range) {
        return pair.key.range[0];
      }
    } else if (isSeq(parent)) {
      const item = parent.items[Number(last)];
      if (isNode(item) && item.range) {
        return item.range[0];
      }
    }
  }
  return document.contents?.range?.[0] ?? 0;
}

interface Problem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** A mistyped key is reported first: it is why another seems to be missing. */
  readonly isUnknownKey: boolean;
}

const kinds: ReadonlyMap<string, string> = new Map([
  ["string", "a text"],
  ["boolean", "true or false"],
  ["number", "a number"],
  ["array", "a list"],
  ["object", "a mapping of keys to values"],
]);

function explain(document: Document, issue: z.core.$ZodIssue): Problem {
  const { path } = issue;
  const [top, index, key] = path;
  const isInRule = top === "rules" && typeof index === "number";
  const where = isInRule ? `rule ${index + 1}: ` : "";
  if (issue.code === "unrecognized_keys") {
    const unknown = issue.keys[0] ?? "";
    return {
      path: [...path, unknown],
      message: `${where}"${unknown}" is not a key here${suggestion(unknown, isInRule ? ruleKeys : recipeKeys)}`,
      isUnknownKey: true,
    };
  }
  const what = String((isInRule ? key : top) ?? (isInRule ? "a rule" : "a recipe"));
  const message =
    issue.code !== "invalid_type"
      ? issue.message
      : path.length > 0 && !document.hasIn(path)
        ? `${what} is missing.`
        : `${what} must be ${kinds.get(issue.expected) ?? issue.expected}.`;
  return { path, message: where + message, isUnknownKey: false };
}

function malformed(file: string, line: number, message: string): MalformedInputError {
  return new MalformedInputError(`${file}:${line}: ${message}`, { file, line });
}
