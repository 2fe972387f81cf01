/** What options take: schemas with one sentence each about what is expected, shared by all commands. */
import { z } from "zod";
import { LopsidedError } from "../errors.js";
import type { OnProgress } from "../progress.js";
import { parseSize } from "./size.js";

/** A name, path or text that is not empty. */
export const text = z.string("must be a text").min(1, "must not be empty");

/** A text that may be empty. */
export const anyText = z.string("must be a text");

export const yesNo = z.boolean("must be true or false");

/** The largest number of llama.cpp's for counts of tokens, layers and sequences: an int32. */
const mostOfCounts = 2 ** 31 - 1;

/** A whole number of at least `least` and at most `most`. */
export function wholeNumber(least: number, most = mostOfCounts) {
  const expected = `must be a whole number of at least ${least}`;
  return z.int(expected).min(least, expected).max(most, `must be at most ${most}`);
}

/** A number from `least` to `most`. */
export function number(least = 0, most = Infinity) {
  const expected =
    most === Infinity ? `must be a number of at least ${least}` : `must be a number from ${least} to ${most}`;
  return z.number(expected).min(least, expected).max(most, expected);
}

/** What a schema takes, or false for "none", which the command line has as `--no-...`. */
export function orNone<Value extends z.ZodType>(schema: Value) {
  return z.union([schema, z.literal(false)], "must be a value, or false for none");
}

/** One of some words. */
export function choice<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.enum(words, `must be one of ${words.join(", ")}`);
}

/** A text that a function of ours reads; what it says is wrong is said of the option. */
export function parsed<Value>(parse: (text: string) => Value) {
  return text.transform((value, context): Value => read(() => parse(value), context));
}

/** Bytes: a whole number, or a text like `4G`, `11.4GB` (powers of ten), `10.6GiB` (powers of two). */
export const size = z
  .union([z.string(), z.number()], "must be a size like 11.4GB")
  .transform((value, context): number => read(() => parseSize(String(value)), context));

/** Several values; on the command line the option is repeated, unless its value is written `<x...>`. */
export function list<Item extends z.ZodType>(item: Item) {
  return z.array(item, "must be a list").readonly();
}

/** Several texts, or one, which becomes a list; on the command line as `list`. */
export const oneOrMore = z.preprocess(
  (value) => (typeof value === "string" ? [value] : value),
  list(text),
) as unknown as z.ZodType<readonly string[], string | readonly string[]>;

/** Something of the library's that has no text. */
export function callback<Callback extends (...args: never[]) => unknown>() {
  return z.custom<Callback>((value) => typeof value === "function", "must be a function");
}

/** An object of a class of ours. */
export function instance<Value extends object>(name: string) {
  return z.custom<Value>((value) => typeof value === "object" && value !== null, `must be ${name}`);
}

export const progressListener = callback<OnProgress>();
export const warningListener = callback<(warning: string) => void>();
export const abortSignal = z.instanceof(AbortSignal, { error: "must be an AbortSignal" });

function read<Value>(parse: () => Value, context: z.RefinementCtx): Value {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof LopsidedError)) {
      throw error;
    }
    context.addIssue({ code: "custom", message: error.message, params: { isSentence: true } });
    return z.NEVER;
  }
}
