/** The table of docs/architectures.md: one row for each tiny model. */
import type { Exercised, Quantized } from "./exercise.js";
import { tinyArchitectures } from "./index.js";

const columns = ["model", "architecture", "tensors without role", "asym-2bit-experts", "Q4_K_M", "plan"];

/** A table in Markdown with these outcomes; models that are not among them keep their row of the table before. */
export function architecturesTable(before: string, outcomes: ReadonlyMap<string, Exercised | Error>): string {
  const rows = new Map<string, string>();
  for (const line of before.split("\n").slice(2)) {
    const name = /^\| (\S+) /.exec(line)?.[1];
    if (name !== undefined) {
      rows.set(name, line);
    }
  }
  for (const [name, outcome] of outcomes) {
    rows.set(name, row([name, tinyArchitectures[name]?.architecture ?? "", ...cells(outcome)]));
  }
  const ordered = Object.keys(tinyArchitectures).flatMap((name) => rows.get(name) ?? []);
  return `${[row(columns), row(columns.map(() => "---")), ...ordered].join("\n")}\n`;
}

function cells(outcome: Exercised | Error): string[] {
  if (outcome instanceof Error) {
    return ["", outcome.message.replaceAll("|", "\\|"), "", ""];
  }
  const { other, asym, mixture, planned } = outcome;
  return [other.join(", ") || "none", ...[asym, mixture, planned].map(figures)];
}

function row(values: readonly string[]): string {
  return `| ${values.join(" | ")} |`;
}

/** Bits per weight and divergence, as the table has them. */
export function figures({ bpw, divergence }: Quantized): string {
  return `${bpw.toFixed(2)}: ${divergence.toFixed(3)}`;
}
