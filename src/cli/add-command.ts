/** From a command's contract to the command line: arguments, options, help, and the call. */
import { type Command, Option as CommanderOption } from "commander";
import type { RunnableCommand } from "../commands.js";
import { readValue } from "../contract/command.js";
import { flagOf, hasFlag, isList, placeholderOf, sentenceOf, typedValue } from "../contract/flags.js";
import type { Option, Options } from "../contract/option.js";
import { json } from "../contract/shared-options.js";
import { UsageError } from "../errors.js";
import { type CommandContext, runCommand } from "./run.js";
import type { Typed, View } from "./view.js";

/** Options as the command line has them: those of the contract and `--json`. */
export function optionsOf({ command }: RunnableCommand): Options {
  return { ...command.options, json };
}

/** Adds a command to the program. */
export function addCommand(
  program: Command,
  runnable: RunnableCommand,
  view: () => Promise<View<never>>,
): void {
  const { name, summary } = runnable.command;
  const rows = Object.entries(optionsOf(runnable)).filter(([, { only }]) => only !== "library");
  const added = program.command(name).description(summary);
  const places = rows.filter(([, { isArgument }]) => isArgument);
  for (const [place, row] of places) {
    const shown = isList(row) ? `${place}...` : place;
    added.argument(hasFlag(row) || !row.required ? `[${shown}]` : `<${shown}>`, row.about);
  }
  for (const [option, row] of rows.filter(([, row]) => hasFlag(row))) {
    added.addOption(commanderOption(option, row));
    if (row.negated !== undefined) {
      added.option(flagOf(option, { ...row, default: true }), row.negated);
    }
  }
  added.action(async (...args: unknown[]) => {
    const byPlace = args.slice(0, places.length);
    const typed = { ...(args[places.length] as Typed) };
    await runCommand({ json: typed.json === true, options: optionsOf(runnable) }, async (context) => {
      for (const [index, [place, row]] of places.entries()) {
        const value = byPlace[index];
        takeByPlace(typed, place, typeof value === "string" ? typedValue(row, value) : value);
      }
      // A view takes the result of its own command.
      return await call(runnable, (await view()) as View<unknown>, typed, context);
    });
  });
}

async function call(runnable: RunnableCommand, view: View<unknown>, typed: Typed, context: CommandContext) {
  const { options } = runnable.command;
  const controls: Typed = {
    onProgress: context.onProgress,
    onWarning: (warning: string) => context.say(`warning: ${warning}`),
    onNotice: (notice: string) => context.say(notice),
    signal: context.signal,
    ...view.more?.(context),
  };
  const given = Object.entries({ ...controls, ...typed }).filter(
    ([name]) => Object.hasOwn(options, name) && options[name]?.only !== "terminal",
  );
  for (const [name, { schema, only }] of Object.entries(options)) {
    if (only === "terminal" && typed[name] !== undefined) {
      readValue(name, schema, typed[name]);
    }
  }
  const run = await runnable.load();
  const result = await run(Object.fromEntries(given));
  return view.use
    ? await view.use(result, context, typed)
    : { json: result, lines: view.lines?.(result, typed) ?? [] };
}

/** Puts an argument among the options; one that can be an option too must be given in one of the two ways. */
function takeByPlace(typed: Record<string, unknown>, place: string, value: unknown): void {
  const isAbsent = value === undefined || (Array.isArray(value) && value.length === 0);
  if (isAbsent) {
    return;
  }
  if (typed[place] !== undefined) {
    throw new UsageError(`\`${place}\` is given twice, by its place and as an option; use one.`);
  }
  typed[place] = value;
}

function commanderOption(name: string, row: Option): CommanderOption {
  const flag = [row.short, flagOf(name, row)].filter((part) => part !== undefined).join(", ");
  const value = placeholderOf(row);
  const made = new CommanderOption(value === undefined ? flag : `${flag} ${value}`, sentenceOf(row));
  if (row.isHidden) {
    made.hideHelp();
  }
  if (row.environment !== undefined) {
    made.env(row.environment);
  }
  if (value !== undefined) {
    made.argParser((typed: string, before: unknown) => {
      const read = typedValue(row, typed);
      return isList(row) ? [...(Array.isArray(before) ? before : []), read] : read;
    });
  }
  return made;
}
