/** Markdown of texts that strangers wrote: nothing in them becomes markup, a link, a mention or a formula. */

/** Characters with a meaning somewhere in Markdown, HTML, or the formulas of the Hugging Face Hub. */
const special = /[&<>\\`*[\]|~$@]|(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu;

/** Text inside a line. Line breaks and control characters become spaces; addresses do not become links. */
export function escapeMarkdown(text: string): string {
  return oneLine(text)
    .replace(special, (character) => `&#${character.charCodeAt(0)};`)
    .replace(/:\/\//g, ":&#47;&#47;")
    .replace(/www\./gi, (found) => `${found.slice(0, 3)}&#46;`);
}

/** Text in a code span, also in a table. */
export function code(text: string): string {
  const line = oneLine(text).replaceAll("|", "\\|");
  const ticks = "`".repeat(1 + longestRun(line));
  const space = line.startsWith("`") || line.endsWith("`") || line.trim() === "" ? " " : "";
  return `${ticks}${space}${line}${space}${ticks}`;
}

/** Lines in a code block, whatever they contain. */
export function codeBlock(text: string, language = ""): string {
  const lines = removeControls(text).replace(/\n+$/, "");
  const fence = "`".repeat(Math.max(3, 1 + longestRun(lines)));
  return `${fence}${language}\n${lines}\n${fence}`;
}

/** A table; cells are Markdown. Columns in `right` (by number) are aligned to the right. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, column) => (right.includes(column) ? "---:" : "---"));
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}

function oneLine(text: string): string {
  return removeControls(text).replace(/\s+/g, " ").trim();
}

/** Without control and direction characters, which could hide or reorder what follows. */
function removeControls(text: string): string {
  return text.replace(/\r\n?/g, "\n").replace(/(?!\n|\t)[\p{Cc}\p{Bidi_Control}]/gu, " ");
}

function longestRun(text: string): number {
  return Math.max(0, ...(text.match(/`+/g) ?? []).map((run) => run.length));
}
