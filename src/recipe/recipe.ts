/**
 * Recipes: which type each tensor gets. A recipe file is YAML:
 *
 *     name: asym-2bit-experts
 *     base: IQ3_S                  # a mixture of llama.cpp for what no rule matches, a type, or COPY
 *     rules:                       # the first rule that matches a tensor decides
 *       - { tensors: [routed.gate, routed.up], type: IQ2_S }
 *       - { tensors: routed.down, layers: 0-5, type: Q4_K }
 *       - { match: attn_v, type: Q6_K, optional: true }
 */
import { LineCounter, type Node, parseDocument } from "yaml";
import { z } from "zod";
import { MalformedInputError } from "../errors.js";
import { type RoleSelector, roleSelectors } from "../model/roles.js";
import { type TypeName, types } from "../quants/types.js";
import { type Base, baseNames, isFtype, parseBase } from "./ftypes.js";
import { patternProblem } from "./pattern.js";
import { suggestion } from "./suggest.js";

/** First and last layer, both included. */
export type LayerRange = readonly [first: number, last: number];

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
  readonly rules: readonly Rule[];
}

/** The recipe that is just one of llama.cpp's mixtures, a type, or COPY. */
export function baseRecipe(base: Base): Recipe {
  return { name: base, base, pure: false, rules: [] };
}

/** Recipes are small: a larger file is something else, given by mistake. */
const largestFile = 1 << 20;

const typeNames = [...types.values()].filter(({ canEncode }) => canEncode).map(({ name }) => name);

const baseSchema = z.string().transform((text, context): Base => {
  const base = parseBase(text);
  if (base !== undefined) return base;
  context.addIssue({ code: "custom", message: `"${text}" is not a base${suggestion(text, baseNames)}` });
  return z.NEVER;
});

const typeSchema = z.string().transform((text, context): TypeName => {
  const name = text.toUpperCase();
  if (types.has(name as TypeName)) return name as TypeName;
  const base = parseBase(text);
  const hint =
    base !== undefined && isFtype(base)
      ? " but a mixture of types; use it as base, or name one type."
      : suggestion(text, typeNames);
  context.addIssue({ code: "custom", message: `"${text}" is not a tensor type${hint}` });
  return z.NEVER;
});

const selectorSchema = z.string().transform((text, context): RoleSelector => {
  if ((roleSelectors as readonly string[]).includes(text)) return text as RoleSelector;
  context.addIssue({
    code: "custom",
    message: `"${text}" is not a role of tensors${suggestion(text, roleSelectors)}`,
  });
  return z.NEVER;
});

const patternSchema = z.string().superRefine((text, context) => {
  const problem = patternProblem(text);
  if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
});

const rangeSchema = z
  .union([z.number(), z.string()], { error: "layers must be like 3, 0-3, or [0-3, 44-47]." })
  .transform((value, context): LayerRange[] =>
    String(value)
      .split(",")
      .map((part): LayerRange => {
        const [, first, last] = /^\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?$/.exec(part) ?? [];
        const range: LayerRange = [Number(first), Number(last ?? first)];
        if (first !== undefined && range[0] <= range[1]) return range;
        context.addIssue({
          code: "custom",
          message: `"${part.trim()}" is not a layer or a range of layers; write them like 3, 0-3, or [0-3, 44-47].`,
        });
        return z.NEVER;
      }),
  );

/** One item may stand without the brackets of a list. */
const listOf = <T extends z.ZodType>(item: T) =>
  z.preprocess((value) => (Array.isArray(value) ? value : [value]), z.array(item).min(1));

const ruleKeys = ["tensors", "match", "layers", "type", "optional"];
const ruleSchema = z
  .strictObject({
    tensors: listOf(selectorSchema).optional(),
    match: patternSchema.optional(),
    layers: listOf(rangeSchema)
      .transform((ranges) => ranges.flat())
      .optional(),
    type: typeSchema,
    optional: z.boolean().default(false),
  })
  .refine(
    ({ tensors, match, layers }) => tensors !== undefined || match !== undefined || layers !== undefined,
    {
      message: "a rule needs tensors (roles), match (a regular expression on names) or layers.",
    },
  );

const recipeKeys = ["name", "description", "base", "pure", "rules"];
const recipeSchema = z.strictObject({
  name: z.string().regex(/^[\w.+-]+$/, "a name has letters, digits and the signs . _ + - only."),
  description: z.string().optional(),
  base: baseSchema,
  pure: z.boolean().default(false),
  rules: z.array(ruleSchema).default([]),
});

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
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const damage = document.errors[0];
  if (damage !== undefined) {
    throw malformed(file, lines.linePos(damage.pos[0]).line, damage.message.split("\n")[0] ?? "");
  }
  const lineOf = (path: readonly PropertyKey[]): number => {
    for (let length = path.length; length >= 0; length--) {
      const node = document.getIn(path.slice(0, length), true) as Node | undefined;
      if (node?.range) return lines.linePos(node.range[0]).line;
    }
    return 1;
  };

  const result = recipeSchema.safeParse(document.toJS());
  if (!result.success) {
    const problems = result.error.issues
      .map((issue) => ({ line: lineOf(issue.path), message: explain(issue) }))
      .sort((a, b) => a.line - b.line);
    const worst = problems[0];
    throw malformed(file, worst?.line ?? 1, worst?.message ?? "not a recipe");
  }
  const { rules, description, ...recipe } = result.data;
  return {
    ...recipe,
    ...(description === undefined ? {} : { description }),
    rules: rules.map(({ tensors, match, layers, ...rule }, index) => ({
      ...rule,
      ...(tensors === undefined ? {} : { tensors }),
      ...(match === undefined ? {} : { match }),
      ...(layers === undefined ? {} : { layers }),
      place: `${file}:${lineOf(["rules", index])}`,
    })),
  };
}

function explain(issue: z.core.$ZodIssue): string {
  const [top, index, ...rest] = issue.path;
  const where = top === "rules" && typeof index === "number" ? `rule ${index + 1}: ` : "";
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const known = top === undefined ? recipeKeys : ruleKeys;
    return `${where}"${key}" is not a key here${suggestion(key, known)}`;
  }
  if (issue.code === "invalid_type" || issue.code === "too_small") {
    const key = String(rest[0] ?? (where ? "a rule" : (top ?? "a recipe")));
    const wanted = issue.code === "invalid_type" ? issue.expected : "list with at least one item";
    return `${where}${key} is missing or not a ${wanted}.`;
  }
  return `${where}${issue.message}`;
}

function malformed(file: string, line: number, message: string): MalformedInputError {
  return new MalformedInputError(`${file}:${line}: ${message}`, { file, line });
}
