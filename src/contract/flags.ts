/** How options are named on the command line, and sentences of the library said in its terms. */
import { z } from "zod";
import type { Option, Options } from "./option.js";

/** `cacheTypeK` is `--cache-type-k`; a yes or no that is yes by default is turned off with `--no-`. */
export function flagOf(name: string, { default: byDefault }: Option): string {
  const words = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return byDefault === true ? `--no-${words}` : `--${words}`;
}

/** What stands for the value in help; undefined for a yes or no. */
export function placeholderOf({ schema, value }: Option): string | undefined {
  if (value === undefined && schema instanceof z.ZodEnum) {
    return `<${schema.options.join("|")}>`;
  }
  return value;
}

/** The sentence for help, with what holds without the option. */
export function sentenceOf({ about, default: byDefault, unset, required }: Option): string {
  const otherwise = unset ?? (typeof byDefault === "boolean" ? undefined : byDefault);
  const note = required ? "required" : otherwise === undefined ? undefined : `default: ${otherwise}`;
  return note === undefined ? about : `${about} (${note})`;
}

/** Whether the command line has it as an option, and not by its place alone. */
export function hasFlag({ only, isArgument, short }: Option): boolean {
  return only !== "library" && (!isArgument || short !== undefined);
}

/** Whether several values are gathered. */
export function isList({ schema }: Option): boolean {
  return elementOf(schema) !== undefined;
}

/** The value that was typed, for the schema: a number if it takes one. What is no number stays what it is. */
export function typedValue({ schema }: Option, typed: string): unknown {
  const takesNumber = (elementOf(schema) ?? schema) instanceof z.ZodNumber;
  const value = Number(typed);
  return takesNumber && typed.trim() !== "" && Number.isFinite(value) ? value : typed;
}

/** A sentence of the library's, which names options in backticks, with the flags of the command line. */
export function inFlags(sentence: string, ...commands: readonly Options[]): string {
  return sentence.replace(/`([a-zA-Z]+)`/g, (given, name: string) => {
    for (const options of commands) {
      const row = Object.hasOwn(options, name) ? options[name] : undefined;
      if (row !== undefined && row.only !== "library") {
        return hasFlag(row) ? flagOf(name, row).replace(/^--no-/, "--") : `<${name}>`;
      }
    }
    return given;
  });
}

function elementOf(schema: z.ZodType): z.core.$ZodType | undefined {
  const certain = schema instanceof z.ZodUnion ? schema.options[0] : schema;
  const made = certain instanceof z.ZodPipe ? certain.out : certain;
  const inner = made instanceof z.ZodReadonly ? made.unwrap() : made;
  return inner instanceof z.ZodArray ? inner.element : undefined;
}
