import type { Command } from "commander";
import { type CheckResult, check } from "../tasks/check.js";
import { formatCount, formatDuration } from "../units.js";
import { wholeNumber } from "./arguments.js";
import { runCommand } from "./run.js";
import { formatTable } from "./table.js";

interface Flags {
  tasks?: string;
  ctx?: number;
  maxTokens?: number;
  parallel?: number;
  threads?: number;
  gpuLayers?: number;
  output?: string;
  json?: boolean;
}

export function addCheck(program: Command): void {
  program
    .command("check")
    .description("Tasks with checkable answers, decoded greedily; code is run in a sandbox.")
    .argument("<model>", "GGUF file, or first file of a split set")
    .option("--tasks <file>", "tasks, one JSON object per line (default: those that ship with Lopsided)")
    .option(
      "--ctx <n>",
      "tokens of a prompt and its answer (default: the model's, at most 4096)",
      wholeNumber(16),
    )
    .option(
      "--max-tokens <n>",
      "tokens of an answer, where its task does not say (default: 1024)",
      wholeNumber(1),
    )
    .option("--parallel <n>", "answers written at once (default: 8)", wholeNumber(1))
    .option("--threads <n>", "threads (default: all cores)", wholeNumber(1))
    .option("--gpu-layers <n>", "layers on graphics processors (default: all)", wholeNumber(0))
    .option("-o, --output <file>", "write the result with all answers to a JSON file")
    .option("--json", "print one JSON object")
    .action((model: string, flags: Flags) =>
      runCommand(flags, async ({ onProgress, signal }) => {
        const { ctx: context, json: _, ...rest } = flags;
        const result = await check({ ...rest, model, context, onProgress, signal });
        return { json: result, text: describe(result) };
      }),
    );
}

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
