/** The contract of a command: its name, what it is for, its options; and the check that stands before every door. */
import type { z } from "zod";
import { UsageError } from "../errors.js";
import type { Given, Options, Resolved } from "./option.js";
import { nearest } from "./suggest.js";

export interface CommandContract<Rows extends Options = Options> {
  readonly name: string;
  /** One sentence, for help and docs. */
  readonly summary: string;
  readonly options: Rows;
}

/** A contract, and the reader of what callers give. */
export class Command<Rows extends Options = Options> implements CommandContract<Rows> {
  readonly name: string;
  readonly summary: string;
  readonly options: Rows;

  constructor({ name, summary, options }: CommandContract<Rows>) {
    this.name = name;
    this.summary = summary;
    this.options = options;
  }

  /**
   * Checks what a caller of the library gives, and fills in defaults. Throws a UsageError, naming the option in
   * backticks, for one that is unknown (with the nearest names), missing or out of bounds.
   */
  read(given: Given<Rows>): Resolved<Rows> {
    if (typeof given !== "object" || given === null) {
      throw new UsageError(`${this.name} takes one object with its options.`);
    }
    const rows = Object.entries<Options[string]>(this.options).filter(([, row]) => row.only !== "terminal");
    const names = rows.map(([name]) => name);
    for (const name of Object.keys(given)) {
      if (!names.includes(name)) {
        throw unknownOption(this.name, name, names);
      }
    }
    const values = new Map<string, unknown>(Object.entries(given));
    const resolved: Record<string, unknown> = {};
    for (const [name, { schema, required, default: byDefault, about }] of rows) {
      const value = values.get(name) ?? byDefault;
      if (value !== undefined) {
        resolved[name] = readValue(name, schema, value);
      } else if (required) {
        throw new UsageError(`${this.name} needs \`${name}\`: ${about}.`, { option: name });
      }
    }
    return resolved as Resolved<Rows>;
  }
}

/** Declares a command. */
export function defineCommand<const Rows extends Options>(contract: CommandContract<Rows>): Command<Rows> {
  return new Command(contract);
}

/** What callers of a command's function give. */
export type OptionsOf<C> = C extends Command<infer Rows> ? Given<Rows> : never;

/** What its function works with. */
export type ResolvedOptionsOf<C> = C extends Command<infer Rows> ? Resolved<Rows> : never;

function unknownOption(command: string, name: string, names: readonly string[]): UsageError {
  const [near] = nearest(name, names, 1);
  const hint = near !== undefined ? `did you mean \`${near}\`?` : `it has ${names.join(", ")}.`;
  return new UsageError(`${command} has no option \`${name}\`; ${hint}`, { option: name });
}

/** What a schema makes of a value. Throws a UsageError that says what was given and what is expected. */
export function readValue(name: string, schema: z.ZodType, value: unknown): unknown {
  const read = schema.safeParse(value);
  if (read.success) {
    return read.data;
  }
  const issue = read.error.issues[0];
  const message = issue?.message ?? "is not valid";
  // What a reader of ours found is a sentence with the value in it.
  const isSentence = issue?.code === "custom" && issue.params?.isSentence === true;
  const shown =
    typeof value === "string" ? `"${value}"` : Array.isArray(value) ? value.join(", ") : `${value}`;
  throw new UsageError(isSentence ? `\`${name}\`: ${message}` : `\`${name}\` is ${shown}; it ${message}.`, {
    option: name,
    value: typeof value === "number" || typeof value === "boolean" ? value : shown,
  });
}
