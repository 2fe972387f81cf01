/** Flags of llama-server that people paste with a command: taken, or refused with what to do instead. */
import { type Command, Option } from "commander";
import { UsageError } from "../errors.js";
import type { SamplingOptions } from "../generate/sampler.js";
import { notNegative, wholeNumber } from "./arguments.js";

export interface LlamaServerFlags {
  temp?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  seed?: number;
  /** False for --no-mmap. */
  mmap?: boolean;
  flashAttn?: string | boolean;
  hfRepo?: string;
  mmproj?: string;
  lora?: string;
  modelDraft?: string;
}

/** Options that do what llama-server's do, options that are so anyway, and options that are refused in words. */
export function addLlamaServerFlags(command: Command): Command {
  return command
    .option("--temp <n>", "temperature of requests that name none (default: 0.8)", notNegative)
    .option("--top-k <n>", "the same for the likeliest tokens to choose from (default: 40)", wholeNumber(0))
    .option(
      "--top-p <n>",
      "the same for the probability that they have together (default: 0.95)",
      notNegative,
    )
    .option("--min-p <n>", "the same for the least probability (default: 0.05)", notNegative)
    .option("-s, --seed <n>", "the same for the seed (default: random)", wholeNumber(0))
    .option("--no-mmap", "read the model into memory instead of mapping it")
    .addOption(new Option("--jinja", "chat templates are always used").hideHelp())
    .addOption(new Option("--flash-attn [when]", "llama.cpp decides").hideHelp())
    .addOption(new Option("--metrics", "/metrics is always there").hideHelp())
    .addOption(new Option("--cont-batching", "is always on").hideHelp())
    .addOption(new Option("--hf-repo <repo>").hideHelp())
    .addOption(new Option("--mmproj <file>").hideHelp())
    .addOption(new Option("--lora <file>").hideHelp())
    .addOption(new Option("--model-draft <file>").hideHelp());
}

/** Throws a UsageError for flags that ask for what is not here. */
export function checkLlamaServerFlags(flags: LlamaServerFlags): void {
  const refused: readonly (readonly [given: unknown, why: string])[] = [
    [flags.hfRepo, "-hf: serve downloads nothing; download the GGUF file and name it"],
    [flags.mmproj, "--mmproj: only text can be read; leave it out"],
    [flags.lora, "--lora: adapters are not supported; use a model that it is merged into"],
    [flags.modelDraft, "-md: drafts are not supported; leave it out"],
    [isOff(flags.flashAttn), "-fa off: llama.cpp decides about flash attention; leave it out"],
  ];
  for (const [given, why] of refused) {
    if (given !== undefined && given !== false) {
      throw new UsageError(`${why}.`);
    }
  }
}

function isOff(when: string | boolean | undefined): boolean {
  return when === "off" || when === "0" || when === "false";
}

/** How tokens are chosen for requests that do not say. */
export function defaultSampling({
  temp,
  topK,
  topP,
  minP,
  seed,
}: LlamaServerFlags): Partial<SamplingOptions> {
  const given = { temperature: temp, topK, topP, minP, seed };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
