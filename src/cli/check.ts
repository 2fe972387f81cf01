/** What `check` prints. */
import type { CheckResult } from "../tasks/check.js";
import { formatCount, formatDuration } from "../units.js";
import { formatTable } from "./table.js";
import type { View } from "./view.js";

export const view: View<CheckResult> = { text: describe };

function describe({
  passed,
  failed,
  low,
  high,
  rates,
  taskSet,
  seconds,
  tokensPerSecond,
}: CheckResult): string {
  const row = (kind: string, right: number, total: number, from: number, to: number) => [
    kind,
    String(right),
    String(total),
    percent(right / total),
    `${percent(from)} to ${percent(to)}`,
  ];
  const rows = rates.map(({ kind, passed: right, total, low: from, high: to }) =>
    row(kind, right, total, from, to),
  );
  const total = passed + failed;
  return [
    `${passed} of ${total} tasks passed (${taskSet.name}, ${formatDuration(seconds)}, ${formatCount(tokensPerSecond)} tokens/s)`,
    "",
    formatTable(
      ["kind", "passed", "tasks", "rate", "95 % interval"],
      [...rows, row("all", passed, total, low, high)],
      [1, 2, 3, 4],
    ),
  ].join("\n");
}

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}
