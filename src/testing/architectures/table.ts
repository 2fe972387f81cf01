/** The table of docs/architectures.md. */
import type { Exercised, Quantized } from "./exercise.js";
import { tinyArchitectures } from "./index.js";

const columns = ["model", "architecture", "tensors", "without role", "asym-2bit-experts", "Q4_K_M", "plan, 5 bits"];

/** Rows in Markdown: what each model came to, or why it did not. */
export function architecturesTable(outcomes: ReadonlyMap<string, Exercised | Error>): string {
  const rows = [...outcomes].map(([name, outcome]) => {
    const architecture = tinyArchitectures[name]?.architecture ?? "";
    if (outcome instanceof Error) {
      return [name, architecture, outcome.message.replaceAll("|", "\\|"), "", "", "", ""];
    }
    const { tensors, other, asym, mixture, planned } = outcome;
    return [name, architecture, tensors, other.join(", ") || "none", ...[asym, mixture, planned].map(figures)];
  });
  return `${[columns, columns.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n")}\n`;
}

function figures({ bpw, divergence }: Quantized): string {
  return `${bpw.toFixed(2)} bits, ${divergence.toFixed(3)} nats`;
}
