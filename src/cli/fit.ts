import type { Command } from "commander";
import { parseSize } from "../bytes/size.js";
import { type FitResult, fit } from "../memory/fit.js";
import { type CacheType, parseCacheType } from "../memory/kv-cache.js";
import { formatBinaryBytes, formatBytes } from "../units.js";
import { read, wholeNumber } from "./arguments.js";
import { runCommand } from "./run.js";
import { formatTable } from "./table.js";

interface Flags {
  recipe?: string;
  ctx?: number;
  cacheTypeK?: CacheType;
  cacheTypeV?: CacheType;
  parallel: number;
  memory?: string;
  margin?: number;
  library: boolean;
  json?: boolean;
}

export function addFit(program: Command): void {
  const cacheType = read(parseCacheType);
  program
    .command("fit")
    .description("What a model needs to run, and whether a machine has it. Reads the header only.")
    .argument("<model>", "GGUF file, first file of a split set, or Hugging Face folder")
    .option(
      "--recipe <name|file>",
      "the model as this recipe would quantize it: a preset, mixture, type or file",
    )
    .option("--ctx <n>", "tokens of context for each sequence (default: the most that fits)", wholeNumber(1))
    .option("--cache-type-k <type>", "type of the cached keys, also -ctk (default: f16)", cacheType)
    .option("--cache-type-v <type>", "type of the cached values, also -ctv (default: f16)", cacheType)
    .option("--parallel <n>", "conversations at once, each with its own context", wholeNumber(1), 1)
    .option(
      "--memory <amount|machine>",
      '16GB, 10.6GiB, "16GB GPU", "16GB Mac", "32GB RAM" or "host RAM" (default: host RAM)',
    )
    .option("--margin <size>", "memory to leave free (default: 1GiB, as llama-server)", read(parseSize))
    .option("--no-library", "compute the sizes rather than ask llama.cpp's library")
    .option("--json", "print one JSON object")
    .action((model: string, flags: Flags) =>
      runCommand(flags, async ({ signal }) => {
        const result = await fit({
          model,
          recipe: flags.recipe,
          context: flags.ctx,
          keyType: flags.cacheTypeK,
          valueType: flags.cacheTypeV,
          parallel: flags.parallel,
          memory: flags.memory,
          marginBytes: flags.margin,
          useLibrary: flags.library,
          signal,
        });
        return { json: result, text: describe(result) };
      }),
    );
}

function describe(result: FitResult): string {
  const { memory, sequences, context, recipe } = result;
  const size = (bytes: number) => [formatBytes(bytes), formatBinaryBytes(bytes)];
  const rows = [
    [recipe === undefined ? "weights" : `weights by ${recipe}`, ...size(result.weightsBytes)],
    [`KV cache, ${sequences} x ${context} tokens`, ...size(result.kvBytes)],
    ["compute buffers", ...size(result.computeBytes)],
    ["together", ...size(result.totalBytes)],
    ...(result.hostBytes > 0 ? [["of it on the card", ...size(result.neededBytes)]] : []),
    [memory.name, ...size(memory.bytes)],
    ["of it left free", ...size(memory.marginBytes)],
  ];
  return [
    formatTable(["", "", ""], rows, [1, 2]).trim(),
    "",
    cacheLine(result),
    verdict(result),
    ...[`${memory.name}: ${memory.basis}.`, ...result.notes].map((note) => `note: ${note}`),
    "",
    result.command,
  ].join("\n");
}

function cacheLine({ kvBytesPerToken, kvFixedBytes, keyType, valueType }: FitResult): string {
  const fixed = kvFixedBytes > 0 ? ` and ${formatBytes(kvFixedBytes)} whatever their number` : "";
  return `KV cache: ${kvBytesPerToken} bytes per token${fixed}, for each sequence (${keyType} keys, ${valueType} values)`;
}

function verdict({ fits, neededBytes, availableBytes, maxContext, sequences, memory }: FitResult): string {
  const longest =
    maxContext > 0
      ? `the longest context that fits is ${maxContext} tokens${sequences > 1 ? ` for each of ${sequences}` : ""}.`
      : "no context fits beside the weights.";
  const difference = formatBytes(Math.abs(availableBytes - neededBytes));
  return fits
    ? `fits ${memory.name}, ${difference} to spare; ${longest}`
    : `does not fit ${memory.name}: ${difference} too large; ${longest}`;
}
