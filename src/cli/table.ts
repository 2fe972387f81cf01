/** Tables of results for people. */
import Table from "cli-table3";
import { printableLine } from "./terminal.js";

/** Longest cell: names of tensors have up to 64 bytes, file names 255. */
const longestCell = 260;

const noBorders = Object.fromEntries(
  ["top", "bottom", "left", "right", "mid"]
    .flatMap((side) => [side, `${side}-mid`, `${side}-left`, `${side}-right`])
    .map((part) => [part, ""]),
);

/** The lines of a plain table without borders; columns listed in `right` (by number) are aligned to the right. */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): readonly string[] {
  const printable = (cells: readonly string[]) => cells.map((cell) => printableLine(cell, longestCell));
  const table = new Table({
    chars: { ...noBorders, middle: "  " },
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
    colAligns: head.map((_, column) => (right.includes(column) ? "right" : "left")),
    head: printable(head),
  });
  table.push(...rows.map(printable));
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd());
}
