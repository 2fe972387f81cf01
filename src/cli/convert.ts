import type { Command } from "commander";
import { type ConversionTarget, parseConversionTarget } from "../model/huggingface/conversion.js";
import { convert } from "../quantize/convert.js";
import { formatBytes, formatDuration } from "../units.js";
import { read, wholeNumber } from "./arguments.js";
import { restart, resume, splitMaxSize } from "./output-options.js";
import { runCommand } from "./run.js";

interface Flags {
  type: ConversionTarget;
  splitMaxSize?: number;
  resume?: boolean;
  restart?: boolean;
  threads?: number;
  json?: boolean;
}

export function addConvert(program: Command): void {
  program
    .command("convert")
    .description("Convert a Hugging Face folder (config.json, tokenizer.json, safetensors) to GGUF.")
    .argument("<folder>", "Hugging Face folder, or hf://owner/repository[@revision]")
    .argument("<output>", "GGUF file to write")
    .requiredOption(
      "--type <type>",
      "type of the matrices: bf16, f16, f32 or q8_0",
      read(parseConversionTarget),
    )
    .addOption(splitMaxSize())
    .addOption(resume())
    .addOption(restart())
    .option("--threads <n>", "encoder threads (default: all cores)", wholeNumber(1))
    .option("--json", "print one JSON object")
    .action((folder: string, output: string, flags: Flags) =>
      runCommand(flags, async ({ onProgress, signal, say }) => {
        const { splitMaxSize: splitMaxBytes, json: _, ...rest } = flags;
        const onWarning = (warning: string) => say(`warning: ${warning}`);
        const controls = { onProgress, onWarning, signal };
        const result = await convert({ ...rest, ...controls, folder, output, splitMaxBytes });
        const { files, tensors, seconds } = result;
        const lines = files.map(
          ({ path, bytes, sha256 }) => `${path}: ${formatBytes(bytes)}, sha256 ${sha256}`,
        );
        const text = [...lines, `${tensors} tensors, ${formatDuration(seconds)}`].join("\n");
        return { json: result, text };
      }),
    );
}
