/** What `check` prints. */
import type { CheckedReference, CheckResult } from "../tasks/check.js";
import type { Habits } from "../tasks/habits.js";
import { formatCount, formatDuration } from "../units.js";
import { formatTable } from "./table.js";
import type { View } from "./view.js";

export const view: View<CheckResult> = { lines: describe };

function describe(result: CheckResult): readonly string[] {
  const { passed, failed, taskSet, seconds, tokensPerSecond, reference, length } = result;
  return [
    `${passed} of ${passed + failed} tasks passed (${taskSet.name}, ${formatDuration(seconds)}, ${formatCount(tokensPerSecond)} tokens/s)`,
    "",
    ...ratesTable(result, reference),
    "",
    ...habitsTable(result.habits, reference?.habits),
    ...(length
      ? [
          "",
          `Answers are ${length.ratio.toFixed(3)} times as long as the reference's (95 %: ${length.low.toFixed(3)} to ${length.high.toFixed(3)}, ${length.tasks} tasks).`,
        ]
      : []),
  ];
}

function ratesTable(result: CheckResult, reference: CheckedReference | undefined): readonly string[] {
  const { passed, failed, low, high, rates, sampled } = result;
  const row = (kind: string, right: number, total: number, from: number, to: number, other?: string) => [
    ...[kind, String(right), String(total), percent(right / total), interval(from, to)],
    ...(reference ? [other ?? ""] : []),
  ];
  const rows = rates.map((rate, at) =>
    row(rate.kind, rate.passed, rate.total, rate.low, rate.high, String(reference?.rates[at]?.passed ?? "")),
  );
  rows.push(row("all", passed, passed + failed, low, high, String(reference?.passed ?? "")));
  if (sampled) {
    const { share, answers } = sampled;
    const other = reference?.sampled;
    rows.push([
      ...["sampled", String(Math.round(share * answers)), String(answers), percent(share)],
      interval(sampled.low, sampled.high),
      ...(reference ? [other ? String(Math.round(other.share * other.answers)) : ""] : []),
    ]);
  }
  const head = ["kind", "passed", "tasks", "rate", "95 % interval", ...(reference ? ["reference"] : [])];
  return formatTable(head, rows, [1, 2, 3, 4, 5]);
}

/** What the answers are like, beside the reference's. */
function habitsTable(own: Habits, other: Habits | undefined): readonly string[] {
  const lines: [string, (habits: Habits) => string | undefined][] = [
    ["tokens of an answer", ({ tokens }) => tokens.toFixed(1)],
    ["cut off", ({ truncated, answers }) => `${truncated} of ${answers}`],
    ["endless repetition", ({ repeating, answers }) => `${repeating} of ${answers}`],
    ["fence left open", ({ openFences, answers }) => `${openFences} of ${answers}`],
    ["broken JSON", ({ json, brokenJson }) => (json > 0 ? `${brokenJson} of ${json}` : undefined)],
    ["calls a tool", ({ calls }) => calls && `${calls.written} of ${calls.asked}`],
    ["one that there is", ({ calls }) => calls && `${calls.known} of ${calls.asked}`],
    ["with valid arguments", ({ calls }) => calls && `${calls.valid} of ${calls.asked}`],
  ];
  const rows = lines.flatMap(([title, of]) => {
    const cells = [of(own), ...(other ? [of(other)] : [])];
    return cells.every((cell) => cell === undefined) ? [] : [[title, ...cells.map((cell) => cell ?? "")]];
  });
  return formatTable(["answers", "model", ...(other ? ["reference"] : [])], rows, [1, 2]);
}

function interval(low: number, high: number): string {
  return `${percent(low)} to ${percent(high)}`;
}

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}
