/** A comparison as Markdown, as it is posted. */
import { escapeMarkdown, markdownTable } from "../report/markdown.js";
import type { CompareResult } from "./result.js";
import { comparisonNote, comparisonRows, textRows } from "./table.js";

/** The whole text. */
export function renderComparison(result: CompareResult): string {
  const tables = [comparisonRows(result), textRows(result)].filter((table) => table !== undefined);
  const parts = tables.map(({ head, rows }) =>
    markdownTable(
      head.map(escapeMarkdown),
      rows.map((row) => row.map(escapeMarkdown)),
      head.map((_, column) => column).slice(1),
    ),
  );
  return `${[...parts, escapeMarkdown(comparisonNote(result))].join("\n\n")}\n`;
}
