import type { Command } from "commander";
import { type ConversionTarget, parseConversionTarget } from "../model/huggingface/conversion.js";
import { convert } from "../pipeline/convert.js";
import { read, wholeNumber } from "./arguments.js";
import { runCommand } from "./run.js";
import { formatBytes, formatDuration } from "./units.js";

interface Flags {
  type: ConversionTarget;
  threads?: number;
  json?: boolean;
}

export function addConvert(program: Command): void {
  program
    .command("convert")
    .description("Convert a Hugging Face folder (config.json, tokenizer.json, safetensors) to GGUF.")
    .argument("<folder>", "Hugging Face folder")
    .argument("<output>", "GGUF file to write")
    .requiredOption(
      "--type <type>",
      "type of the matrices: bf16, f16, f32 or q8_0",
      read(parseConversionTarget),
    )
    .option("--threads <n>", "encoder threads (default: all cores)", wholeNumber(1))
    .option("--json", "print one JSON object")
    .action((folder: string, output: string, flags: Flags) =>
      runCommand(flags, async ({ onProgress, signal, say }) => {
        const { type, threads } = flags;
        const onWarning = (warning: string) => say(`warning: ${warning}`);
        const result = await convert({ folder, output, type, threads, onProgress, onWarning, signal });
        const { bytes, tensors, seconds, sha256 } = result;
        const text = `${output}: ${tensors} tensors, ${formatBytes(bytes)}, sha256 ${sha256}, ${formatDuration(seconds)}`;
        return { json: result, text };
      }),
    );
}
