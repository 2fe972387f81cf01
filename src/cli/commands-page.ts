/** docs/commands.md, written from the contracts: every command, its arguments and options, as flag and as library name. */
import { commands, type RunnableCommand } from "../commands.js";
import { flagOf, hasFlag, placeholderOf, sentenceOf } from "../contract/flags.js";
import type { Option } from "../contract/option.js";
import { optionsOf } from "./add-command.js";

/** The whole page. `node scripts/commands-page.mjs` writes it, and a test compares it. */
export function commandsPage(): string {
  const head =
    "# Commands\n\nWritten from the contracts by `node scripts/commands-page.mjs`. Every command is a function of the library with the same name, whose options have the names in the last column.\n";
  return [head, ...commands.map(section)].join("\n");
}

function section(runnable: RunnableCommand): string {
  const { name, summary } = runnable.command;
  const rows = Object.entries<Option>(optionsOf(runnable)).filter(([, { isHidden }]) => !isHidden);
  const places = rows.filter(([, { isArgument }]) => isArgument).map(([place]) => `<${place}>`);
  return [
    `## ${name}`,
    "",
    summary,
    "",
    `\`lopsided ${[name, ...places].join(" ")}\``,
    "",
    "| option | what it is | library |",
    "| --- | --- | --- |",
    ...rows.map(
      ([option, row]) => `| ${flags(option, row)} | ${cell(sentenceOf(row))} | ${libraryName(option, row)} |`,
    ),
    "",
  ].join("\n");
}

function flags(name: string, row: Option): string {
  if (row.only === "library") {
    return "";
  }
  if (!hasFlag(row)) {
    return code(`<${name}>`);
  }
  const value = placeholderOf(row);
  const [first = "", ...others] = [
    flagOf(name, row),
    ...(row.short ? [row.short] : []),
    ...(row.aliases ?? []),
  ];
  return [`${first}${value === undefined ? "" : ` ${value}`}`, ...others].map(code).join(", ");
}

function libraryName(name: string, { only }: Option): string {
  return only === "terminal" || name === "json" ? "" : code(name);
}

function code(text: string): string {
  return `\`${text.replaceAll("|", "\\|")}\``;
}

/** Text in a cell; what stands in angle brackets would be HTML. */
function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "\\<");
}
