/**
 * Options of other programs that people paste into ours: what is so anyway is taken, and what ours has under another
 * name, or not at all, is answered in one sentence. None of them is in help.
 */
import { z } from "zod";
import type { Option } from "./option.js";
import { anyText, yesNo } from "./values.js";

const quiet = { only: "terminal", isHidden: true } as const;

type Typed = Pick<Option, "value" | "aliases">;

/** Taken without effect. Without a `value` it is a yes or no; `[value]` may be left out. */
export function moot(about: string, typed: Typed = {}) {
  return {
    ...quiet,
    ...typed,
    schema: typed.value === undefined ? yesNo : z.union([anyText, z.boolean()]),
    about,
  };
}

/** Taken in its `--no-` form. */
export function mootUnset(about: string, typed: Typed = {}) {
  return { ...moot(about, typed), default: true };
}

/** Refused with a sentence that says what to do instead. */
export function answered(sentence: string, typed: Typed = {}) {
  const schema = z.unknown().transform((_, context) => {
    context.addIssue({ code: "custom", message: sentence, params: { isSentence: true } });
    return z.NEVER;
  });
  return { ...quiet, ...typed, schema, about: "refused" };
}
