import type { Command } from "commander";
import { type DemoResult, type DemoVariant, demo } from "../pipeline/demo.js";
import { wholeNumber } from "./arguments.js";
import { rolesTable, sizeLine } from "./roles-table.js";
import { runCommand } from "./run.js";
import { formatTable } from "./table.js";
import { formatDuration } from "./units.js";

interface Flags {
  output: string;
  threads?: number;
  json?: boolean;
}

export function addDemo(program: Command): void {
  program
    .command("demo")
    .description("Calibrate, quantize and evaluate the tiny model that ships with the package.")
    .option("-o, --output <folder>", "folder for the files", "lopsided-demo")
    .option("--threads <n>", "threads (default: all cores)", wholeNumber(1))
    .option("--json", "print one JSON object")
    .action(({ output, threads, json }: Flags) =>
      runCommand({ json: json ?? false }, async ({ onProgress, signal, say }) => {
        const onWarning = (warning: string) => say(`warning: ${warning}`);
        const result = await demo({ output, threads, onProgress, onWarning, signal });
        return { json: result, text: describe(result) };
      }),
    );
}

function describe({ output, variants, seconds }: DemoResult): string {
  const first = variants[0];
  const last = variants.at(-1);
  if (first === undefined || last === undefined) return "";
  return [
    ...[first, last].flatMap(({ name, model }) => [`${name}: ${sizeLine(model)}`, "", rolesTable(model), ""]),
    comparison(variants, first.evaluation.ppl),
    "",
    "PPL: perplexity on chat tasks that the model was not calibrated on; KLD: mean KL divergence to the source;",
    "top-1: how often both models find the same next token most likely.",
    `The files are in ${output}; ${formatDuration(seconds)} in all.`,
  ].join("\n");
}

function comparison(variants: readonly DemoVariant[], sourcePpl: number): string {
  const rows = variants.map(({ name, bytes, model, evaluation }) => [
    name,
    model.bpw.toFixed(2),
    String(bytes),
    `${evaluation.ppl.toFixed(4)} ± ${evaluation.pplError.toFixed(4)}`,
    evaluation.kld ? `${(100 * (evaluation.ppl / sourcePpl - 1)).toFixed(2)} %` : "",
    evaluation.kld?.mean.toFixed(5) ?? "",
    evaluation.topAgreement === undefined ? "" : `${(100 * evaluation.topAgreement).toFixed(2)} %`,
  ]);
  return formatTable(
    ["model", "bpw", "bytes", "PPL", "difference", "KLD", "top-1"],
    rows,
    [1, 2, 3, 4, 5, 6],
  );
}
