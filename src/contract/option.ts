/** What an option of a command is: one row that the library's types, the command line, help and docs are made of. */
import type { z } from "zod";

/**
 * One option. Its name is the key it is declared under (`cacheTypeK`); the command line's is made of it
 * (`--cache-type-k`, or `--no-check` for a yes or no that is yes by default).
 */
export interface Option<Schema extends z.ZodType = z.ZodType> {
  /** One sentence, for help, docs and readers of the code. */
  readonly about: string;
  /** What it takes, with bounds; what it becomes. See `values.ts`. */
  readonly schema: Schema;
  /** What stands for the value in help, `<file>`; `<file...>` takes several at once. A yes or no has none. */
  readonly value?: string | undefined;
  /** Its value if it is not given. */
  readonly default?: unknown;
  /** What happens if it is not given, where that is no value: "the whole text". */
  readonly unset?: string | undefined;
  /** The sentence for its `--no-` form, where it has both: yes, no and neither are three things. */
  readonly negated?: string | undefined;
  readonly required?: boolean;
  /** Whether the command line takes it by its place; with `short`, as an option too. */
  readonly isArgument?: boolean;
  /** One letter: `-o`. */
  readonly short?: string | undefined;
  /** llama.cpp's other names for it: `-ngl`, `--n-gpu-layers`; `--no-mtp=drop` is one that means a value. */
  readonly aliases?: readonly string[];
  /** Environment variable that the command line takes it from. */
  readonly environment?: string;
  /** Taken, but not listed in help. */
  readonly isHidden?: boolean;
  /** Where alone it is offered; both by default. */
  readonly only?: "library" | "terminal";
}

/** Options by name. */
export type Options = Readonly<Record<string, Option>>;

/** Declares an option that several commands share. */
export function option<const Row extends Option>(row: Row): Row {
  return row;
}

type LibraryNames<Rows extends Options> = {
  [Name in keyof Rows]: Rows[Name] extends { readonly only: "terminal" } ? never : Name;
}[keyof Rows];

type RequiredNames<Rows extends Options> = {
  [Name in LibraryNames<Rows>]: Rows[Name] extends { readonly required: true } ? Name : never;
}[LibraryNames<Rows>];

/** Names of options that have a value in any case. */
type CertainNames<Rows extends Options> = {
  [Name in LibraryNames<Rows>]: Rows[Name] extends { readonly required: true } | { readonly default: unknown }
    ? Name
    : never;
}[LibraryNames<Rows>];

type Flat<T> = { [Key in keyof T]: T[Key] };

/** What a caller of the library gives. */
export type Given<Rows extends Options> = Flat<
  { readonly [Name in RequiredNames<Rows>]: z.input<Rows[Name]["schema"]> } & {
    readonly [Name in Exclude<LibraryNames<Rows>, RequiredNames<Rows>>]?:
      | z.input<Rows[Name]["schema"]>
      | undefined;
  }
>;

/** What a command works with: checked, with defaults. */
export type Resolved<Rows extends Options> = Flat<
  { readonly [Name in CertainNames<Rows>]: z.output<Rows[Name]["schema"]> } & {
    readonly [Name in Exclude<LibraryNames<Rows>, CertainNames<Rows>>]?:
      | z.output<Rows[Name]["schema"]>
      | undefined;
  }
>;
