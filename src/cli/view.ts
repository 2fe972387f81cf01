/** How the command line shows what a command finds. */
import type { CommandContext, CommandResult } from "./run.js";

/** What was given on the command line, by the options' names, as it was typed. */
export type Typed = Readonly<Record<string, unknown>>;

export interface View<Result> {
  /** The result for people, line by line; `--json` prints the result itself. */
  readonly lines?: (result: Result, typed: Typed) => readonly string[];
  /** Options that only the command line gives, such as listeners that print. */
  readonly more?: (context: CommandContext) => Typed;
  /** What happens with a result that is not simply printed, such as a server. */
  readonly use?: (
    result: Result,
    context: CommandContext,
    typed: Typed,
  ) => Promise<CommandResult | undefined>;
}
