import type { Command } from "commander";
import { parseSize } from "../bytes/size.js";
import { measurePerplexity, type PerplexityResult } from "../evaluate/measure.js";
import { formatCount, formatDuration } from "../units.js";
import { read, wholeNumber } from "./arguments.js";
import { runCommand } from "./run.js";
import { formatTable } from "./table.js";

interface Flags {
  ctx: number;
  chunks?: number;
  parseSpecial?: boolean;
  reference?: string;
  klDivergenceBase?: string;
  saveAllLogits?: string;
  maxMemory?: number;
  threads?: number;
  gpuLayers?: number;
  json?: boolean;
}

export function addPerplexity(program: Command): void {
  program
    .command("perplexity")
    .description("How well a model predicts a text, and how far its predictions are from a reference's.")
    .argument("<model>", "GGUF file, first file of a split set, Hugging Face folder, or an address of one")
    .argument("<text>", "text to predict (not read with --kl-divergence-base, which has its own)")
    .option("--ctx <n>", "tokens in a chunk", wholeNumber(4), 512)
    .option("--chunks <n>", "most chunks (default: the whole text)", wholeNumber(1))
    .option("--parse-special", "read control tokens in the text as such")
    .option("--reference <model>", "compare with this model, of any of these kinds")
    .option("--kl-divergence-base <file>", "compare with log-probabilities that llama-perplexity saved")
    .option("--save-all-logits <file>", "save the log-probabilities in llama-perplexity's format")
    .option(
      "--max-memory <size>",
      "memory to use, 8GB for example (default: most of what is there); a larger model is run some layers at a time",
      read(parseSize),
    )
    .option("--threads <n>", "threads (default: all cores)", wholeNumber(1))
    .option("--gpu-layers <n>", "layers on graphics processors (default: all)", wholeNumber(0))
    .option("--json", "print one JSON object")
    .action((model: string, text: string, flags: Flags) =>
      runCommand(flags, async ({ onProgress, signal, say }) => {
        const { ctx: context, klDivergenceBase: base, saveAllLogits: saveLogits, json: _, ...rest } = flags;
        const onWarning = (warning: string) => say(`warning: ${warning}`);
        const options = { ...rest, model, text, context, base, saveLogits };
        const result = await measurePerplexity({ ...options, onProgress, onWarning, signal });
        return { json: result, text: describe(result) };
      }),
    );
}

function describe(result: PerplexityResult): string {
  const { ppl, pplError, chunks, positions, seconds, tokensPerSecond } = result;
  const lines = [
    `perplexity ${ppl.toFixed(4)} ± ${pplError.toFixed(4)} (${chunks} chunks, ${positions} scored tokens, ${formatDuration(seconds)}, ${formatCount(tokensPerSecond)} tokens/s)`,
  ];
  const rows = comparison(result);
  if (rows.length > 0) {
    lines.push("", formatTable(["against the reference", "", "±"], rows, [1, 2]));
  }
  return lines.join("\n");
}

function comparison({
  reference,
  pplRatio,
  pplRatioError,
  kld,
  topAgreement,
  topAgreementError,
  deltaP,
}: PerplexityResult): string[][] {
  if (reference === undefined || kld === undefined || deltaP === undefined) {
    return [];
  }
  const percent = (fraction = Number.NaN) => `${(100 * fraction).toFixed(3)} %`;
  const nats = (value: number) => value.toFixed(6);
  return [
    ["perplexity of the reference", reference.ppl.toFixed(4), reference.pplError.toFixed(4)],
    ["perplexity ratio", (pplRatio ?? Number.NaN).toFixed(6), (pplRatioError ?? Number.NaN).toFixed(6)],
    ["KL divergence, mean", nats(kld.mean), nats(kld.meanError)],
    ["KL divergence, median", nats(kld.median), ""],
    ["KL divergence, 90 %", nats(kld.p90), ""],
    ["KL divergence, 99 %", nats(kld.p99), ""],
    ["KL divergence, 99.9 %", nats(kld.p999), ""],
    ["KL divergence, largest", nats(kld.max), ""],
    ["same top token", percent(topAgreement), percent(topAgreementError)],
    ["change of probability, mean", percent(deltaP.mean), percent(deltaP.meanError)],
    ["change of probability, RMS", percent(deltaP.rms), percent(deltaP.rmsError)],
    ["change of probability, 5 %", percent(deltaP.p5), ""],
    ["change of probability, 95 %", percent(deltaP.p95), ""],
  ];
}
