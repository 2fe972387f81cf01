import type { Command } from "commander";
import { type SensitivityResult, sensitivity } from "../budget/sensitivity/measure.js";
import { formatDuration } from "../units.js";
import { notNegative, wholeNumber } from "./arguments.js";
import { runCommand } from "./run.js";
import { formatTable } from "./table.js";

interface Flags {
  output: string;
  imatrix?: string;
  priorWeight?: number;
  ctx: number;
  chunks?: number;
  rounds?: number;
  parseSpecial?: boolean;
  threads?: number;
  gpuLayers?: number;
  json?: boolean;
}

export function addSensitivity(program: Command): void {
  program
    .command("sensitivity")
    .description("Measure how much an error in each tensor costs the model: input of plan.")
    .argument("<model>", "GGUF file, or first file of a split set; the least quantized there is")
    .argument("<text>", "text to measure on, other than the one for evaluation")
    .requiredOption("-o, --output <file>", "JSON file to write")
    .option("--imatrix <file>", "importance matrix that plan will use, GGUF or .dat")
    .option("--prior-weight <tokens>", "shrinkage prior that plan will use", notNegative)
    .option("--ctx <n>", "tokens in a chunk", wholeNumber(4), 512)
    .option("--chunks <n>", "chunks to measure on (default: 16)", wholeNumber(1))
    .option(
      "--rounds <n>",
      "times to measure on them, with other noise each time (default: 1)",
      wholeNumber(1),
    )
    .option("--parse-special", "read control tokens in the text as such")
    .option("--threads <n>", "threads (default: all cores)", wholeNumber(1))
    .option("--gpu-layers <n>", "layers on graphics processors (default: all)", wholeNumber(0))
    .option("--json", "print one JSON object")
    .action((model: string, text: string, flags: Flags) =>
      runCommand(flags, async ({ onProgress, signal, say }) => {
        const { ctx: context, json: _, ...rest } = flags;
        const onWarning = (warning: string) => say(`warning: ${warning}`);
        const controls = { onProgress, onWarning, signal };
        const result = await sensitivity({ ...rest, ...controls, model, text, context });
        return { json: result, text: describe(result) };
      }),
    );
}

function describe({ output, tensors, chunks, seconds }: SensitivityResult): string {
  const roles = new Map<string, number[]>();
  for (const { role, alpha } of tensors) {
    roles.set(role, [...(roles.get(role) ?? []), alpha]);
  }
  const rows = [...roles].map(([role, alphas]) => [
    role,
    `${alphas.length}`,
    alphas.reduce((sum, alpha) => sum + alpha, 0).toPrecision(3),
    Math.min(...alphas).toPrecision(3),
    Math.max(...alphas).toPrecision(3),
  ]);
  return [
    "KL divergence in nats for each unit of relative error",
    formatTable(["role", "tensors", "all together", "least", "most"], rows, [1, 2, 3, 4]),
    "",
    `${output}: ${tensors.length} tensors on ${chunks} chunks, ${formatDuration(seconds)}`,
  ].join("\n");
}
