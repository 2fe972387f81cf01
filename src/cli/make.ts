import { type Command, Option } from "commander";
import { type MakeResult, make } from "../make/make.js";
import type { MakeOptions } from "../make/options.js";
import type { StageEvent } from "../make/stages.js";
import { summarize } from "../model/summary.js";
import { type Effort, efforts } from "../quants/effort.js";
import { formatBytes, formatDuration } from "../units.js";
import { notNegative, wholeNumber } from "./arguments.js";
import { addBudgetOptions, type BudgetFlags, budgetOf } from "./budget-options.js";
import { commandLine } from "./command-line.js";
import { comparisonTable } from "./comparison-table.js";
import { splitMaxSize } from "./output-options.js";
import { rolesTable, sizeLine } from "./roles-table.js";
import { runCommand } from "./run.js";

interface Flags extends BudgetFlags {
  output: string;
  recipe?: string;
  sensitivity: boolean;
  sensitivityChunks?: number;
  calibration: string;
  chunks: number;
  ctxCalibration: number;
  evaluate?: string;
  evaluateChunks: number;
  ctxEvaluate: number;
  parseSpecial?: boolean;
  baseline: string;
  tasks?: string;
  check: boolean;
  quantizedBy?: string;
  effort: Effort | "max";
  priorWeight?: number;
  allowRequantize?: boolean;
  name?: string;
  splitMaxSize?: number;
  threads?: number;
  gpuLayers?: number;
  json?: boolean;
}

export function addMake(program: Command): void {
  const command = program
    .command("make")
    .description(
      "Everything in one run: calibrate, choose types, quantize, verify, evaluate; the folder can be published. Run it again to go on, or after changing options: only what depends on them is done again.",
    )
    .argument("<model>", "GGUF file, Hugging Face folder, https:// or hf:// address")
    .requiredOption("-o, --output <folder>", "folder for the result")
    .requiredOption("--calibration <text>", "text for the importance matrix")
    .option("--recipe <name|file>", "types by a recipe (default: asym-2bit-experts)");
  addBudgetOptions(command)
    .option("--no-sensitivity", "with a budget: go by role and depth rather than measure")
    .option("--sensitivity-chunks <n>", "chunks to measure it on (default: 8)", wholeNumber(1))
    .option("--chunks <n>", "most chunks of calibration", wholeNumber(1), 128)
    .option("--ctx-calibration <n>", "tokens in a chunk of calibration", wholeNumber(16), 512)
    .option("--evaluate <text>", "text to measure on, other than the one for calibration")
    .option("--evaluate-chunks <n>", "most chunks of evaluation", wholeNumber(1), 200)
    .option("--ctx-evaluate <n>", "tokens in a chunk of evaluation", wholeNumber(4), 512)
    .option("--parse-special", "read control tokens in the texts as such")
    .option("--baseline <mixture|file|none>", "what to compare with, built if it is a mixture", "Q4_K_M")
    .option("--tasks <file>", "tasks for the models, instead of those that come with Lopsided")
    .option("--no-check", "give the models no tasks")
    .addOption(
      new Option("--effort <effort>", "how long to search; max also collects moments and uses them")
        .choices([...efforts, "max"])
        .default("default"),
    )
    .option("--prior-weight <tokens>", "shrinkage prior for rarely routed experts", notNegative)
    .option("--allow-requantize", "allow a source of less than eight bits")
    .option("--name <name>", "first part of the files' names (default: the source's)")
    .option("--quantized-by <name>", "who made it, for the card: your name on Hugging Face")
    .addOption(splitMaxSize())
    .option("--threads <n>", "threads (default: all cores)", wholeNumber(1))
    .option("--gpu-layers <n>", "layers on graphics processors (default: all)", wholeNumber(0))
    .option("--json", "print one JSON object")
    .action((model: string, flags: Flags) =>
      runCommand(flags, async ({ onProgress, signal, say }) => {
        const onWarning = (warning: string) => say(`warning: ${warning}`);
        const onStage = (event: StageEvent) => sayStage(event, say);
        const controls = { onProgress, onWarning, onStage, signal, command: commandLine() };
        const result = await make({ ...optionsOf(model, flags), ...controls });
        return { json: result, text: describeMake(result) };
      }),
    );
}

function optionsOf(model: string, flags: Flags): MakeOptions {
  const { ctxCalibration, ctxEvaluate, evaluateChunks } = flags;
  return {
    ...flags,
    ...budgetOf(flags),
    model,
    calibrationContext: ctxCalibration,
    evaluationContext: ctxEvaluate,
    evaluationChunks: evaluateChunks,
    splitMaxBytes: flags.splitMaxSize,
  };
}

/** One line for each stage, when it is over. */
export function sayStage(event: StageEvent, say: (line: string) => void): void {
  if (event.event === "skipped") {
    say(`${event.stage}: nothing changed`);
  } else if (event.event === "finished") {
    say(`${event.stage}: done in ${formatDuration(event.seconds)}`);
  } else if (event.because !== undefined) {
    say(`${event.stage}: done again, because ${event.because}`);
  }
}

/** The result for people: what is in the model, how it compares, where everything is. */
export function describeMake(result: MakeResult): string {
  const { output, model, quantize, evaluate, seconds } = result;
  const summary = summarize(quantize.tensors.map((tensor) => ({ ...tensor, type: tensor.to })));
  return [
    rolesTable(summary),
    "",
    sizeLine(summary),
    ...(evaluate === undefined ? [] : ["", comparisonTable(result.source, evaluate)]),
    "",
    `${model}: ${formatBytes(quantize.bytes)}`,
    `Everything is in ${output}; ${formatDuration(seconds)} in all.`,
  ].join("\n");
}
