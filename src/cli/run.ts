/** Runs a command: progress, Ctrl-C, one result, one sentence for an error. */
import { commands } from "../commands.js";
import { inFlags } from "../contract/flags.js";
import type { Options } from "../contract/option.js";
import { InternalError, LopsidedError, tooManyFiles } from "../errors.js";
import type { OnProgress } from "../progress.js";
import { ProgressBar } from "./progress.js";
import { printableJson, printableLine, printableText } from "./terminal.js";

/** What a command gets to work with. */
export interface CommandContext {
  readonly onProgress: OnProgress;
  /** Aborted by Ctrl-C or a terminating signal. */
  readonly signal: AbortSignal;
  /** Prints a line for people, on stderr. */
  readonly say: (line: string) => void;
  /** Prints the result of a command that has more to do after it, such as to serve. */
  readonly print: (result: CommandResult) => void;
  /** Has Ctrl-C do something else, until it is called with undefined. */
  readonly onInterrupt: (handler: (() => void) | undefined) => void;
}

/** What a command leaves behind: the object for `--json`, and the lines that people read instead. */
export interface CommandResult {
  readonly json: unknown;
  readonly lines: readonly string[];
}

/**
 * Runs one command: shows progress, prints the result once on stdout (text, or one JSON object), turns an
 * error into one sentence on stderr and an exit status. Sentences name options as the command line does. A second Ctrl-C ends the process at once.
 */
export async function runCommand(
  { json = false, options = {} }: { json?: boolean; options?: Options },
  command: (context: CommandContext) => Promise<CommandResult | undefined>,
): Promise<void> {
  const abort = new AbortController();
  let handler: (() => void) | undefined;
  const interrupt = () => {
    if (handler) {
      handler();
      return;
    }
    if (abort.signal.aborted) {
      process.exit(130);
    }
    abort.abort();
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  const bar = new ProgressBar();
  const rename = (sentence: string) =>
    inFlags(sentence, options, ...commands.map((each) => each.command.options));
  const say = (line: string) => {
    bar.stop();
    process.stderr.write(`${printableLine(rename(line))}\n`);
  };
  const onInterrupt: CommandContext["onInterrupt"] = (next) => {
    handler = next;
  };
  let isPrinted = false;
  const print = (result: CommandResult) => {
    bar.stop();
    process.stdout.write(
      `${json ? printableJson(result.json) : result.lines.map((line) => printableLine(line)).join("\n")}\n`,
    );
    isPrinted = true;
  };
  try {
    const result = await command({ onProgress: bar.update, signal: abort.signal, say, print, onInterrupt });
    bar.stop();
    if (result) {
      print(result);
    }
  } catch (error) {
    bar.stop();
    fail(error, rename, json && !isPrinted);
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

function fail(error: unknown, rename: (sentence: string) => string, json: boolean): void {
  const known = error instanceof LopsidedError ? error : tooManyFiles(error);
  const problem =
    known ??
    new InternalError(`unexpected failure: ${error instanceof Error ? error.message : String(error)}`);
  const message = rename(problem.message);
  process.stderr.write(`lopsided: ${printableLine(message)}\n`);
  if (!known && error instanceof Error) {
    process.stderr.write(`${printableText(error.stack ?? "")}\n`);
  }
  if (json) {
    const { kind, details } = problem;
    process.stdout.write(`${printableJson({ error: { kind, message, ...details } })}\n`);
  }
  process.exitCode = problem.exitCode;
}
