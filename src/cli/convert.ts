import type { Command } from "commander";
import { type ConversionTarget, parseConversionTarget } from "../model/huggingface/conversion.js";
import { convert } from "../quantize/convert.js";
import { formatBytes, formatDuration } from "../units.js";
import { read, wholeNumber } from "./arguments.js";
import { restart, resume, splitMaxSize } from "./output-options.js";
import { runCommand } from "./run.js";

interface Flags {
  type: ConversionTarget | "auto";
  /** `--mtp`, `--no-mtp`, or neither. */
  mtp?: boolean;
  fuseGateUpExps?: boolean;
  fp8AsQ8?: boolean;
  splitMaxSize?: number;
  resume?: boolean;
  restart?: boolean;
  threads?: number;
  json?: boolean;
}

export function addConvert(program: Command): void {
  program
    .command("convert")
    .description("Convert a Hugging Face folder (config.json, tokenizer, safetensors) to GGUF.")
    .argument("<folder>", "Hugging Face folder, or hf://owner/repository[@revision]")
    .argument("<output>", "GGUF file to write")
    .requiredOption(
      "--type <type>",
      "type of the matrices: bf16, f16, f32, q8_0, or auto for what most are stored as",
      read((text) => (text === "auto" ? text : parseConversionTarget(text))),
    )
    .option("--mtp", "only the layers that predict further tokens, for a file of their own")
    .option("--no-mtp", "without the layers that predict further tokens")
    .option("--fuse-gate-up-exps", "gate and up of all experts as one tensor, where llama.cpp can read it")
    .option("--fp8-as-q8", "what is stored as FP8 becomes Q8_0")
    .addOption(splitMaxSize())
    .addOption(resume())
    .addOption(restart())
    .option("--threads <n>", "encoder threads (default: all cores)", wholeNumber(1))
    .option("--json", "print one JSON object")
    .action((folder: string, output: string, flags: Flags) =>
      runCommand(flags, async ({ onProgress, signal, say }) => {
        const { splitMaxSize: splitMaxBytes, json: _, mtp, fuseGateUpExps: fuseGateAndUp, ...rest } = flags;
        const prediction = mtp === undefined ? undefined : mtp ? "only" : "none";
        const onWarning = (warning: string) => say(`warning: ${warning}`);
        const controls = { onProgress, onWarning, signal };
        const result = await convert({
          ...rest,
          ...controls,
          prediction,
          fuseGateAndUp,
          folder,
          output,
          splitMaxBytes,
        });
        const { files, tensors, seconds } = result;
        const lines = files.map(
          ({ path, bytes, sha256 }) => `${path}: ${formatBytes(bytes)}, sha256 ${sha256}`,
        );
        const text = [...lines, `${tensors} tensors, ${formatDuration(seconds)}`].join("\n");
        return { json: result, text };
      }),
    );
}
