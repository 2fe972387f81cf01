/** Measuring a model on a text: the whole of the `perplexity` command. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OutputFile } from "../bytes/output.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { Engine } from "../engine/engine.js";
import { findModelFiles, memoryLimitBytes } from "../engine/limits.js";
import { UsageError } from "../errors.js";
import type { OnProgress } from "../progress.js";
import { checkReadable, checkText } from "../text/text.js";
import type { Divergence } from "./divergence.js";
import { type MeasureParams, type MeasureResult, measure } from "./measure-job.js";
import type { Perplexity } from "./perplexity.js";

export interface PerplexityOptions {
  /** Path of a GGUF file that llama.cpp runs, or of the first of a split set. */
  readonly model: string;
  /** Path of the text. Not read if `base` is given, which has its own. */
  readonly text: string;
  /** Tokens in a chunk; 512 by default. */
  readonly context?: number | undefined;
  /** Most chunks; the whole text by default. */
  readonly chunks?: number | undefined;
  /** Read control tokens such as `<|im_start|>` in the text as such. */
  readonly parseSpecial?: boolean | undefined;
  /** Path of a model to compare with, over the whole vocabulary. */
  readonly reference?: string | undefined;
  /** Path of llama-perplexity's base file to compare with, over the 16 nats it keeps. */
  readonly base?: string | undefined;
  /** Path of a base file to write with the model's log-probabilities. */
  readonly saveLogits?: string | undefined;
  readonly threads?: number | undefined;
  /** Layers on graphics processors; all by default, if there are any. */
  readonly gpuLayers?: number | undefined;
  /** Run a model whose weights are larger than all memory: it is read from the disk again and again. */
  readonly ignoreMemoryLimit?: boolean | undefined;
  /** Bytes that the weights of both models may take together; above, they are run one after the other. */
  readonly memory?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly onWarning?: ((warning: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** An engine to use, which stays open; otherwise one is started and closed. */
  readonly engine?: Engine | undefined;
}

/** Perplexity, and the comparison if there is a reference. */
export interface PerplexityResult extends Perplexity, Partial<Omit<Divergence, keyof Perplexity>> {
  readonly model: string;
  /** Tokens in a chunk. */
  readonly context: number;
  readonly chunks: number;
  /** Tokens decoded: chunks times their length. About half of them are scored (`positions`). */
  readonly tokens: number;
  /** Time spent on chunks, without loading models. */
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

/** Part of the memory that weights may take. */
const weightsShare = 0.9;

/**
 * The perplexity of a model on a text, as llama-perplexity measures it, and with a reference how much its
 * predictions differ: KL divergence, agreement on the top token, changes of probability. Two models are run side
 * by side if their weights fit in memory; otherwise the reference goes first and leaves a base file.
 *
 * @throws UsageError if options make no sense, the text is too short or the models have different tokens;
 *   MalformedInputError for damaged files; EnvironmentError if something cannot be read or written, or llama.cpp
 *   fails; CancelledError
 */
export async function measurePerplexity(options: PerplexityOptions): Promise<PerplexityResult> {
  checkOptions(options);
  await checkPaths(options);
  const engine = options.engine ?? new Engine();
  try {
    const { reference } = options;
    const apart = reference !== undefined && !fitTogether(options.model, reference, options.memory);
    const result = apart
      ? await measureApart(engine, options, reference)
      : await runMeasure(engine, options, paramsOf(options), "perplexity");
    const tokens = result.chunks * result.context;
    return {
      model: options.model,
      ...result.measured,
      context: result.context,
      chunks: result.chunks,
      tokens,
      seconds: result.seconds,
      tokensPerSecond: result.seconds > 0 ? tokens / result.seconds : 0,
    };
  } finally {
    if (options.engine === undefined) {
      await engine.close();
    }
  }
}

/** The reference's log-probabilities go through a temporary file, so that only one model is in memory. */
async function measureApart(
  engine: Engine,
  options: PerplexityOptions,
  reference: string,
): Promise<MeasureResult> {
  options.onWarning?.(
    `${options.model} and ${reference} do not fit in memory together; they are run one after the other, and differences are measured over 16 nats only.`,
  );
  const folder = await mkdtemp(join(tmpdir(), "lopsided-"));
  try {
    const base = join(folder, "reference.logits");
    const first = {
      ...paramsOf(options),
      model: modelOf(options, reference),
      reference: undefined,
      save: base,
    };
    const { seconds } = await runMeasure(engine, options, first, "perplexity of the reference");
    // Frees the memory; the next job starts the engine again.
    await engine.close();
    const second = { ...paramsOf(options), reference: undefined, base };
    const result = await runMeasure(engine, options, second, "perplexity");
    return { ...result, seconds: result.seconds + seconds };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function runMeasure(
  engine: Engine,
  { onProgress, signal }: PerplexityOptions,
  params: MeasureParams,
  step: string,
): Promise<MeasureResult> {
  return engine.run(measure, params, {
    onEvent: ({ done, total, ppl }) => {
      const detail = ppl === undefined ? {} : { detail: `perplexity ${ppl.toFixed(4)}` };
      onProgress?.({ step, done, total, unit: "chunks", ...detail });
    },
    onLoad: (path, fraction) =>
      onProgress?.({ step: "load", done: Math.floor(100 * fraction), total: 100, unit: "%", detail: path }),
    signal,
  });
}

function paramsOf(options: PerplexityOptions): MeasureParams {
  return {
    model: modelOf(options, options.model),
    reference: options.reference === undefined ? undefined : modelOf(options, options.reference),
    base: options.base,
    save: options.saveLogits,
    text: options.text,
    context: options.context ?? 512,
    chunks: options.chunks,
    parseSpecial: options.parseSpecial ?? false,
    threads: options.threads,
  };
}

function modelOf({ gpuLayers, ignoreMemoryLimit }: PerplexityOptions, path: string): MeasureParams["model"] {
  return {
    path,
    ...(gpuLayers === undefined ? {} : { gpuLayers }),
    ...(ignoreMemoryLimit && { ignoreMemoryLimit: true }),
  };
}

function fitTogether(model: string, reference: string, memory = weightsShare * memoryLimitBytes()): boolean {
  const [own, other] = [model, reference].map((path) => findModelFiles(path).byteLength) as [number, number];
  return own + other <= memory;
}

function checkOptions({ context, chunks, reference, base, saveLogits }: PerplexityOptions): void {
  for (const [what, value, least] of [
    ["a chunk", context, 4],
    ["the number of chunks", chunks, 1],
  ] as const) {
    if (value !== undefined && (!Number.isSafeInteger(value) || value < least)) {
      throw new UsageError(`${what} is ${value}; it is a whole number of at least ${least}.`);
    }
  }
  if ([reference, base, saveLogits].filter((path) => path !== undefined).length > 1) {
    throw new UsageError(
      "a reference model (--reference), a base file (--kl-divergence-base) and writing one (--save-all-logits) exclude each other; use one at a time.",
    );
  }
}

/** What can be known to fail is found out before a model is loaded. */
async function checkPaths(options: PerplexityOptions): Promise<void> {
  const { model, reference, text, base, saveLogits } = options;
  await (base === undefined ? checkText(text, options.onWarning) : checkReadable(base));
  if (saveLogits === undefined) {
    return;
  }
  await checkOutputs([saveLogits], [model, reference, text, base]);
  const trial = await OutputFile.create(saveLogits, 0);
  await trial.discard();
}
