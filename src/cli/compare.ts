/** What `compare` prints. */
import type { CompareResult } from "../compare/result.js";
import { comparisonNote, comparisonRows, textRows } from "../compare/table.js";
import { formatDuration } from "../units.js";
import { formatTable } from "./table.js";
import type { View } from "./view.js";

export const view: View<CompareResult> = { lines: describe };

function describe(result: CompareResult): readonly string[] {
  const tables = [comparisonRows(result), textRows(result)].filter((table) => table !== undefined);
  return [
    ...tables.flatMap(({ head, rows }) => [
      ...formatTable(head, rows, head.map((_, column) => column).slice(1)),
      "",
    ]),
    `${comparisonNote(result)} ${formatDuration(result.seconds)}.`,
  ];
}
