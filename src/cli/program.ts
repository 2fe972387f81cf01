/** The command line, put together from the commands' contracts. */
import { Command, CommanderError } from "commander";
import { commands } from "../commands.js";
import { InternalError } from "../errors.js";
import { version } from "../version.js";
import { addCommand, optionsOf } from "./add-command.js";
import { withLongOptions } from "./long-options.js";
import { printableLine } from "./terminal.js";
import { views } from "./views.js";

/** The program with all commands; they do nothing yet. */
export function createProgram(): Command {
  const program = new Command("lopsided")
    .description("Asymmetric, expert-aware GGUF quantization for mixture-of-experts language models.")
    .version(version)
    .showHelpAfterError("(see --help)")
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: (message, write) => write(`${printableError(message)}\n`) });
  for (const runnable of commands) {
    const { name } = runnable.command;
    const view = views[name];
    if (view === undefined) {
      throw new InternalError(`the command ${name} has no view.`);
    }
    addCommand(program, runnable, view);
  }
  for (const command of program.commands) {
    command.exitOverride();
  }
  return program;
}

/** What commander says of a mistake, which quotes what was typed, and below it what may have been meant. */
function printableError(message: string): string {
  const [, error = "", hint] = /^(.*?)(?:\n(\(Did you mean [^\n]*\)))?\n?$/s.exec(message) ?? [];
  return [error, ...(hint ? [hint] : [])].map((line) => printableLine(line)).join("\n");
}

/** Runs what was typed; sets the exit status. */
export async function runProgram(args: readonly string[]): Promise<void> {
  const called = commands.find(({ command }) => command.name === args[0]);
  const words = called === undefined ? args : withLongOptions(args, optionsOf(called));
  try {
    await createProgram().parseAsync(words, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      throw error;
    }
    // Commander has printed its message; help and version are no failures.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  }
}
