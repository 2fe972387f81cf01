import { type Command, Option } from "commander";
import { parseSize } from "../bytes/size.js";
import { UsageError } from "../errors.js";
import { computeImatrix, type ImatrixResult } from "../imatrix/compute.js";
import type { ExpertCoverage } from "../imatrix/coverage.js";
import type { ImatrixFormat } from "../imatrix/imatrix.js";
import { type InputKind, inputKinds } from "../moments/inputs.js";
import { formatCount, formatDuration } from "../units.js";
import { notNegative, read, wholeNumber } from "./arguments.js";
import { runCommand } from "./run.js";
import { formatTable } from "./table.js";

interface Flags {
  output: string;
  ctx: number;
  chunks?: number;
  format?: ImatrixFormat;
  processOutput?: boolean;
  parseSpecial?: boolean;
  priorWeight?: number;
  merge?: string[];
  moments?: string;
  momentsOf?: InputKind[];
  momentsPerExpert?: boolean;
  maxMemory?: number;
  outputFrequency: number;
  threads?: number;
  gpuLayers?: number;
  json?: boolean;
}

export function addImatrix(program: Command): void {
  program
    .command("imatrix")
    .description("Calibration: run a model over a text and write its importance matrix, per expert.")
    .argument("<model>", "GGUF file, first file of a split set, Hugging Face folder, or an address of one")
    .argument("<text>", "calibration text")
    .requiredOption("-o, --output <file>", "importance matrix to write")
    .option("--ctx <n>", "tokens in a chunk", wholeNumber(16), 512)
    .option("--chunks <n>", "most chunks (default: the whole text)", wholeNumber(1))
    .addOption(
      new Option("--format <format>", "default: dat for an output of that name, otherwise gguf").choices([
        "gguf",
        "dat",
      ]),
    )
    .option("--process-output", "also collect statistics of the output matrix")
    .option("--parse-special", "read control tokens in the text as such")
    .option(
      "--prior-weight <tokens>",
      "shrinkage prior for rarely routed experts (default: 1, applied by quantize; 0 does as llama.cpp)",
      notNegative,
    )
    .option("--merge <file...>", "add the statistics of these files")
    .option(
      "--moments <file>",
      "also collect second-moment matrices of the inputs, for quantize --effort max",
    )
    .addOption(
      new Option("--moments-of <kinds...>", "whose inputs (default: routed)").choices([...inputKinds]),
    )
    .option("--moments-per-expert", "one matrix per expert for routed gate and up too, not one per layer")
    .option(
      "--max-memory <size>",
      "memory to use, 8GB for example (default: most of what is there); a larger model is run some layers at a time",
      read(parseSize),
    )
    .option("--output-frequency <chunks>", "save unfinished work every so many chunks", wholeNumber(1), 10)
    .option("--threads <n>", "threads (default: all cores)", wholeNumber(1))
    .option("--gpu-layers <n>", "layers on graphics processors (default: all)", wholeNumber(0))
    .option("--json", "print one JSON object")
    .action((model: string, text: string, flags: Flags) =>
      runCommand(flags, async ({ onProgress, signal, say }) => {
        const { ctx, outputFrequency, moments, momentsOf, momentsPerExpert, json: _, ...rest } = flags;
        if (moments === undefined && (momentsOf || momentsPerExpert)) {
          throw new UsageError("--moments-of and --moments-per-expert need --moments FILE.");
        }
        const onWarning = (warning: string) => say(`warning: ${warning}`);
        const options = {
          ...rest,
          model,
          text,
          context: ctx,
          saveEvery: outputFrequency,
          ...(moments !== undefined && {
            moments: { output: moments, kinds: momentsOf, perExpert: momentsPerExpert },
          }),
        };
        const result = await computeImatrix({ ...options, onProgress, onWarning, signal });
        return { json: result, text: describe(result) };
      }),
    );
}

function describe(result: ImatrixResult): string {
  const { output, tensors, chunks, tokens, resumedFrom, seconds, tokensPerSecond, coverage } = result;
  const resumed = resumedFrom > 0 ? ` (${resumedFrom} of them by an earlier run)` : "";
  const lines = [
    `${output}: ${tensors} tensors, ${chunks} chunks${resumed}, ${formatCount(tokens)} tokens, ${formatDuration(seconds)}, ${formatCount(tokensPerSecond)} tokens/s`,
  ];
  if (result.moments) {
    const { output, inputs, matrices, passes, thinnest, tokensPerDimension } = result.moments;
    lines.push(
      `${output}: second moments of ${inputs} inputs, ${matrices} matrices, ${passes} passes; the thinnest, ${thinnest}, has ${tokensPerDimension.toFixed(1)} tokens per dimension`,
    );
  }
  return coverage.length === 0 ? lines.join("\n") : [coverageTable(coverage), "", ...lines].join("\n");
}

/** One line for the tensors of a layer whose experts saw the same tokens. */
function coverageTable(coverage: readonly ExpertCoverage[]): string {
  const groups = new Map<string, { names: string[]; row: ExpertCoverage }>();
  for (const row of coverage) {
    const [layer, name] = splitName(row.tensor);
    const key = `${layer} ${row.tokens.join()}`;
    const group = groups.get(key) ?? { names: [], row };
    groups.set(key, { ...group, names: [...group.names, name] });
  }
  return formatTable(
    ["layer", "tensors", "experts", "unseen", "fewest tokens", "most tokens"],
    [...groups.values()].map(({ names, row }) => [
      splitName(row.tensor)[0],
      names.join(", "),
      ...[row.experts, row.unseen, row.fewest, row.most].map(String),
    ]),
    [2, 3, 4, 5],
  );
}

/** `blk.3.ffn_up_exps.weight` is layer `blk.3`, tensor `ffn_up_exps`. */
function splitName(tensor: string): [string, string] {
  const [, layer, name] = /^(blk\.\d+)\.(.*?)(?:\.weight)?$/.exec(tensor) ?? [];
  return layer === undefined || name === undefined ? ["", tensor] : [layer, name];
}
