/** The form of recipe files, with messages that suggest the nearest allowed word. */
import * as z from "zod";
import { suggestion } from "../contract/suggest.js";
import { type RoleSelector, roleSelectors } from "../model/roles.js";
import { type TypeName, types } from "../quants/types.js";
import { type Base, baseNames, isFtype, parseBase } from "./ftypes.js";
import { patternProblem } from "./pattern.js";

/** First and last layer, both included. */
export type LayerRange = readonly [first: number, last: number];

const typeNames = [...types.values()].filter(({ canEncode }) => canEncode).map(({ name }) => name);

const baseSchema = z.string().transform((text, context): Base => {
  const base = parseBase(text);
  if (base !== undefined) {
    return base;
  }
  context.addIssue({ code: "custom", message: `"${text}" is not a base${suggestion(text, baseNames)}` });
  return z.NEVER;
});

const typeSchema = z.string().transform((text, context): TypeName => {
  const name = text.toUpperCase();
  if (types.has(name as TypeName)) {
    return name as TypeName;
  }
  const base = parseBase(text);
  const hint =
    base !== undefined && isFtype(base)
      ? " but a mixture of types; use it as base, or name one type."
      : suggestion(text, typeNames);
  context.addIssue({ code: "custom", message: `"${text}" is not a tensor type${hint}` });
  return z.NEVER;
});

const selectorSchema = z.string().transform((text, context): RoleSelector => {
  if ((roleSelectors as readonly string[]).includes(text)) {
    return text as RoleSelector;
  }
  context.addIssue({
    code: "custom",
    message: `"${text}" is not a role of tensors${suggestion(text, roleSelectors)}`,
  });
  return z.NEVER;
});

const patternSchema = z.string().superRefine((text, context) => {
  const problem = patternProblem(text);
  if (problem !== undefined) {
    context.addIssue({ code: "custom", message: problem });
  }
});

const rangeSchema = z
  .union([z.number(), z.string()], { error: "layers must be like 3, 0-3, or [0-3, 44-47]." })
  .transform((value, context): LayerRange[] =>
    String(value)
      .split(",")
      .map((part): LayerRange => {
        const [, first, last] = /^\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?$/.exec(part) ?? [];
        const range: LayerRange = [Number(first), Number(last ?? first)];
        if (first !== undefined && range[0] <= range[1]) {
          return range;
        }
        context.addIssue({
          code: "custom",
          message: `"${part.trim()}" is not a layer or a range of layers; write them like 3, 0-3, or [0-3, 44-47].`,
        });
        return z.NEVER;
      }),
  );

/** One item may stand without the brackets of a list. */
const listOf = <T extends z.ZodType>(item: T) =>
  z.preprocess(
    (value) => (Array.isArray(value) ? value : [value]),
    z.array(item).min(1, "the list is empty."),
  );

export const ruleKeys = ["tensors", "match", "layers", "type", "optional"];
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

export const recipeKeys = ["name", "description", "base", "pure", "keepExperts", "padExperts", "rules"];
export const recipeSchema = z.strictObject({
  name: z.string().regex(/^[\w.+-]+$/, "a name has letters, digits and the signs . _ + - only."),
  description: z.string().optional(),
  base: baseSchema,
  pure: z.boolean().default(false),
  keepExperts: z
    .int("keepExperts must be a whole number.")
    .min(1, "keepExperts must be at least 1.")
    .optional(),
  padExperts: z.boolean().optional(),
  rules: z.array(ruleSchema).default([]),
});
