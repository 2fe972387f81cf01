import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { EnvironmentError } from "../errors.js";
import { summarize } from "../model/summary.js";
import { type QuantizeOptions, type QuantizeResult, quantize } from "../quantize/quantize.js";
import { type Effort, efforts } from "../quants/effort.js";
import { parseTypeName, type TypeName } from "../quants/types.js";
import { parseTensorType, parseTensorTypeFile, type TensorTypeOverride } from "../recipe/overrides.js";
import { formatBytes, formatCount, formatDuration } from "../units.js";
import { parseOverrides } from "../write/output-metadata.js";
import { collect, notNegative, read, wholeNumber } from "./arguments.js";
import { restart, resume, splitMaxSize } from "./output-options.js";
import { rolesTable, sizeLine } from "./roles-table.js";
import { type CommandContext, type CommandResult, runCommand } from "./run.js";

interface Flags {
  recipe?: string;
  base?: string;
  imatrix?: string;
  priorWeight?: number;
  tensorType?: string[];
  tensorTypeFile?: string;
  tokenEmbeddingType?: TypeName;
  outputTensorType?: TypeName;
  allowRequantize?: boolean;
  pure?: boolean;
  leaveOutputTensor?: boolean;
  includeWeights?: string[];
  excludeWeights?: string[];
  overrideKv?: string[];
  keepSplit?: boolean;
  splitMaxSize?: number;
  resume?: boolean;
  restart?: boolean;
  dryRun?: boolean;
  effort?: Effort | "max";
  moments?: string;
  threads?: number;
  json?: boolean;
}

export function addQuantize(program: Command): void {
  const type = read(parseTypeName);
  program
    .command("quantize")
    .description("Encode a model's tensors by a recipe and write a GGUF file that llama.cpp loads.")
    .argument(
      "<model>",
      "GGUF file, first file of a split set, Hugging Face folder, https:// or hf:// address",
    )
    .argument("<output>", "GGUF file to write")
    .option(
      "--recipe <name|file>",
      "a preset, one of llama.cpp's mixtures (Q4_K_M), a type, or a recipe file",
    )
    .option("--base <type>", "what the recipe's rules leave open: a mixture, a type, or COPY")
    .option("--imatrix <file>", "importance matrix, GGUF or .dat")
    .option(
      "--prior-weight <tokens>",
      "shrinkage prior for rarely routed experts; 0 does as llama-quantize",
      notNegative,
    )
    .option(
      "--tensor-type <regex=type>",
      "type of the tensors whose name matches (repeatable; the first match wins)",
      collect,
    )
    .option("--tensor-type-file <file>", "file of such items, separated by white space")
    .option("--token-embedding-type <type>", "type of token_embd.weight", type)
    .option("--output-tensor-type <type>", "type of output.weight", type)
    .option("--allow-requantize", "allow quantizing tensors that are quantized already")
    .option("--pure", "no exceptions: every tensor gets the base's type")
    .option("--leave-output-tensor", "keep output.weight as it is")
    .option(
      "--include-weights <text>",
      "use importance only of tensors whose name contains it (repeatable)",
      collect,
    )
    .option(
      "--exclude-weights <text>",
      "use no importance of tensors whose name contains it (repeatable)",
      collect,
    )
    .option("--override-kv <key=type:value>", "add or replace metadata (repeatable)", collect)
    .option("--keep-split", "write as many files as the source has, with the same tensors")
    .addOption(splitMaxSize())
    .addOption(resume())
    .addOption(restart())
    .option("--dry-run", "decide and measure everything, write nothing")
    .addOption(
      new Option(
        "--effort <effort>",
        "how long to search; max also makes the outputs' errors small (needs --moments)",
      )
        .choices([...efforts, "max"])
        .default("default"),
    )
    .option("--moments <file>", "second moments of the inputs (imatrix --moments), for --effort max")
    .option("--threads <n>", "encoder threads (default: all cores)", wholeNumber(1))
    .option("--json", "print one JSON object")
    .action((model: string, output: string, flags: Flags) =>
      runCommand(flags, (context) => run(model, output, flags, context)),
    );
}

async function run(
  model: string,
  output: string,
  flags: Flags,
  context: CommandContext,
): Promise<CommandResult> {
  const { overrideKv = [], splitMaxSize, tensorType: _, json: __, ...rest } = flags;
  const options: QuantizeOptions = {
    ...rest,
    model,
    output,
    splitMaxBytes: splitMaxSize,
    tensorTypes: await tensorTypes(flags),
    overrides: parseOverrides(overrideKv),
    onProgress: context.onProgress,
    onWarning: (warning) => context.say(`warning: ${warning}`),
    signal: context.signal,
  };
  const result = await quantize(options);
  return { json: result, text: describe(result) };
}

async function tensorTypes({ tensorType = [], tensorTypeFile }: Flags): Promise<TensorTypeOverride[]> {
  const given = tensorType.map((text) => parseTensorType(text));
  if (tensorTypeFile === undefined) {
    return given;
  }
  try {
    return [...given, ...parseTensorTypeFile(await readFile(tensorTypeFile, "utf8"), tensorTypeFile)];
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause)) {
      throw cause;
    }
    throw new EnvironmentError(
      `${tensorTypeFile}: cannot be read (${cause.code}); check the path.`,
      {},
      { cause },
    );
  }
}

function describe(result: QuantizeResult): string {
  const summary = summarize(result.tensors.map((tensor) => ({ ...tensor, type: tensor.to })));
  const lines = [rolesTable(summary), "", sizeLine(summary)];
  if (result.files === undefined) {
    lines.push(`${result.output} would have ${formatBytes(result.bytes)}; nothing was written (dry run)`);
  } else {
    lines.push(
      ...result.files.map(({ path, bytes, sha256 }) => `${path}: ${formatBytes(bytes)}, sha256 ${sha256}`),
      `${formatDuration(result.seconds)}, ${formatCount(result.weightsPerSecond ?? 0)} weights/s, peak memory ${formatBytes(result.peakRssBytes)}`,
    );
  }
  return lines.join("\n");
}
