/** Measuring a model on a text: the whole of the `perplexity` command. */
import { planSweep } from "../activations/window-plan.js";
import { runWithWindows } from "../activations/window-server.js";
import { OutputFile } from "../bytes/output.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { Engine } from "../engine/engine.js";
import { InternalError, UsageError } from "../errors.js";
import { openModel } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import type { OnProgress } from "../progress.js";
import { checkReadable, checkText } from "../text/text.js";
import type { Divergence } from "./divergence.js";
import { type MeasureParams, measure } from "./measure-job.js";
import type { Perplexity } from "./perplexity.js";

export interface PerplexityOptions {
  /**
   * A model that llama.cpp runs: a GGUF file, the first of a split set, a Hugging Face folder, or one of them on a
   * server (see `openModel`). What is no local GGUF file is run in windows of layers, of which nothing is stored.
   */
  readonly model: string;
  /** Path of the text. Not read if `base` is given, which has its own. */
  readonly text: string;
  /** Tokens in a chunk; 512 by default. */
  readonly context?: number | undefined;
  /** Most chunks; the whole text by default. */
  readonly chunks?: number | undefined;
  /** Read control tokens such as `<|im_start|>` in the text as such. */
  readonly parseSpecial?: boolean | undefined;
  /** A model to compare with, over the whole vocabulary; of the same kinds. */
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
  /**
   * Bytes that the run may take, by default most of what is there: models that take more are run in windows of
   * layers.
   */
  readonly maxMemory?: number | undefined;
  /** Layers in a window at most; as many as fit in memory by default. */
  readonly layersPerWindow?: number | undefined;
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

/**
 * The perplexity of a model on a text, as llama-perplexity measures it, and with a reference how much its
 * predictions differ: KL divergence, agreement on the top token, changes of probability. Models that do not fit in
 * memory, or not together, are run in windows of layers, and what comes after the last layers row by row.
 *
 * @throws UsageError if options make no sense, the text is too short or the models have different tokens;
 *   MalformedInputError for damaged files; EnvironmentError if something cannot be read or written, or llama.cpp
 *   fails; CancelledError
 */
export async function measurePerplexity(options: PerplexityOptions): Promise<PerplexityResult> {
  checkOptions(options);
  await checkPaths(options);
  const engine = options.engine ?? new Engine();
  const sources: ModelSource[] = [];
  try {
    for (const path of [options.model, ...(options.reference === undefined ? [] : [options.reference])]) {
      sources.push(await openModel(path, { signal: options.signal }));
    }
    const { onProgress, signal } = options;
    const result = await runWithWindows(engine, measure, paramsOf(options, sources), sources, {
      onEvent: ({ done, total, ppl }) => {
        const detail = ppl === undefined ? {} : { detail: `perplexity ${ppl.toFixed(4)}` };
        onProgress?.({ step: "perplexity", done, total, unit: "chunks", ...detail });
      },
      onLoad: (path, fraction) =>
        onProgress?.({ step: "load", done: Math.floor(100 * fraction), total: 100, unit: "%", detail: path }),
      signal,
    });
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
    await Promise.all(sources.map((source) => source.close()));
    if (options.engine === undefined) {
      await engine.close();
    }
  }
}

function paramsOf(options: PerplexityOptions, sources: readonly ModelSource[]): MeasureParams {
  const { reference, maxMemory, layersPerWindow, gpuLayers, ignoreMemoryLimit } = options;
  const total = sources.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const plan = (source: ModelSource, path: string) =>
    planSweep(source, path, {
      maxMemory,
      layersPerWindow,
      gpuLayers,
      ignoreMemoryLimit,
      needsOutput: true,
      isBesideAnother: sources.length > 1,
      otherBytes: total - source.byteLength,
    });
  const [source, other] = sources;
  if (source === undefined) {
    throw new InternalError("no model was opened.");
  }
  return {
    model: plan(source, options.model),
    reference: other && reference !== undefined ? plan(other, reference) : undefined,
    base: options.base,
    save: options.saveLogits,
    text: options.text,
    context: options.context ?? 512,
    chunks: options.chunks,
    parseSpecial: options.parseSpecial ?? false,
    threads: options.threads,
  };
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
