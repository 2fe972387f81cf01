/** docs/commands.md, made of the commands' contracts. */
import { commands } from "../commands.js";
import { flagOf, hasFlag, placeholderOf, sentenceOf } from "../contract/flags.js";
import type { Option } from "../contract/option.js";
import { optionsOf } from "./add-command.js";

/** The whole page. */
export function renderCommandsPage(): string {
  const head = [
    "# Commands",
    "",
    "Made of the commands' contracts by `node scripts/write-commands-page.mjs`. In the library each command is a function of the same name that takes one object with these options, under the names in the second column; those without a flag are for programs.",
  ];
  const sections = commands.map((runnable) => {
    const { name, summary } = runnable.command;
    const rows = Object.entries(optionsOf(runnable)).filter(([, { isHidden }]) => !isHidden);
    const places = rows
      .filter(([, { isArgument }]) => isArgument)
      .map(([place, row]) => (hasFlag(row) ? ` [${place}]` : ` <${place}>`));
    return [
      `## ${name}`,
      "",
      summary,
      "",
      `\`lopsided ${name}${places.join("")} [options]\``,
      "",
      "| flag | in the library | |",
      "| --- | --- | --- |",
      ...rows.map(([option, row]) => line(option, row)),
    ].join("\n");
  });
  return `${[head.join("\n"), ...sections].join("\n\n")}\n`;
}

function line(name: string, row: Option): string {
  const inLibrary = row.only === "terminal" ? "" : `\`${name}\``;
  return `| ${typed(name, row)} | ${inLibrary} | ${cell(sentenceOf(row))} |`;
}

/** How it is typed: `` `-c`, `--ctx <n>` ``. */
function typed(name: string, row: Option): string {
  if (!hasFlag(row)) {
    return row.isArgument ? `\`<${name}>\`` : "";
  }
  const value = placeholderOf(row);
  const flag = `${flagOf(name, row)}${value === undefined ? "" : ` ${value}`}`;
  const negated = row.negated === undefined ? [] : [flagOf(name, { ...row, default: true })];
  const names = [
    ...(row.short ? [row.short] : []),
    ...(row.aliases ?? []).map((alias) => alias.replace(/=.*$/, "")),
    flag,
    ...negated,
  ];
  return names.map((each) => `\`${each.replaceAll("|", "\\|")}\``).join(", ");
}

/** Text that is no markup in a table. */
function cell(text: string): string {
  return text.replace(/[|<>*_]/g, "\\$&");
}
