/** Measuring a model on a text: the whole of the `perplexity` command. */
import { planSweep } from "../activations/window-plan.js";
import { runWithWindows } from "../activations/window-server.js";
import { OutputFile } from "../bytes/output.js";
import { checkOutputs } from "../bytes/overwriting.js";
import type { ResolvedOptionsOf } from "../contract/command.js";
import { Engine } from "../engine/engine.js";
import { InternalError, UsageError } from "../errors.js";
import { openModel } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import { checkReadable, checkText } from "../text/text.js";
import type { Divergence } from "./divergence.js";
import { type MeasureParams, measure } from "./measure-job.js";
import type { Perplexity } from "./perplexity.js";
import { type PerplexityOptions, perplexityCommand } from "./perplexity-command.js";

type Settings = ResolvedOptionsOf<typeof perplexityCommand>;

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
 * Throws a UsageError if options make no sense, the text is too short or the models have different tokens, a
 * MalformedInputError for damaged files, an EnvironmentError if something cannot be read or written or llama.cpp
 * fails, a CancelledError when stopped.
 */
export async function perplexity(given: PerplexityOptions): Promise<PerplexityResult> {
  const options = perplexityCommand.read(given);
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

function paramsOf(options: Settings, sources: readonly ModelSource[]): MeasureParams {
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
    base: options.klDivergenceBase,
    save: options.saveAllLogits,
    text: options.text,
    context: options.ctx,
    chunks: options.chunks,
    parseSpecial: options.parseSpecial ?? false,
    threads: options.threads,
  };
}

function checkOptions({ reference, klDivergenceBase, saveAllLogits }: Settings): void {
  if ([reference, klDivergenceBase, saveAllLogits].filter((path) => path !== undefined).length > 1) {
    throw new UsageError(
      "`reference`, `klDivergenceBase` and `saveAllLogits` exclude each other; use one at a time.",
    );
  }
}

/** What can be known to fail is found out before a model is loaded. */
async function checkPaths(options: Settings): Promise<void> {
  const { model, reference, text, klDivergenceBase: base, saveAllLogits } = options;
  await (base === undefined ? checkText(text, options.onWarning) : checkReadable(base));
  if (saveAllLogits === undefined) {
    return;
  }
  await checkOutputs([saveAllLogits], [model, reference, text, base]);
  const trial = await OutputFile.create(saveAllLogits, 0);
  await trial.discard();
}
