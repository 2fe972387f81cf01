/** Measuring a model on texts: the whole of the `perplexity` command. */
import { OutputFile } from "../bytes/output.js";
import { checkOutputs } from "../bytes/overwriting.js";
import type { ResolvedOptionsOf } from "../contract/command.js";
import { UsageError } from "../errors.js";
import { isConversations } from "../generate/rendered-conversations.js";
import { queueSettings } from "../queue/settings.js";
import { namedTexts } from "../text/named-text.js";
import { checkReadable, checkText } from "../text/text.js";
import type { Floor } from "./floor.js";
import { measureModels } from "./measure-models.js";
import { type PerplexityOptions, perplexityCommand } from "./perplexity-command.js";
import type { RoutingOfLayer } from "./routing.js";
import type { Measured, MeasuredText, ScoredRange } from "./scores.js";

type Settings = ResolvedOptionsOf<typeof perplexityCommand>;

/** Perplexity, and the comparison if there is a reference: of all texts together, and of each. */
export interface PerplexityResult extends Measured {
  readonly model: string;
  /** Tokens in a chunk. */
  readonly context: number;
  readonly chunks: number;
  /** Tokens decoded: chunks times their length. About half of them are scored (`positions`). */
  readonly tokens: number;
  readonly texts: readonly MeasuredText[];
  /** By the place in the chunk. */
  readonly byPosition: readonly ScoredRange[];
  /** How far the routers choose as the reference's do, in each layer. */
  readonly routing?: readonly RoutingOfLayer[];
  /** How far the reference is from itself: smaller divergences mean nothing. */
  readonly floor?: Floor;
  /** Time spent on chunks, without loading models. */
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

/**
 * The perplexity of a model on texts, as llama-perplexity measures it, and with a reference how much its
 * predictions differ: KL divergence, agreement on the top token, changes of probability. Models that do not fit in
 * memory, or not together, are run in windows of layers, and what comes after the last layers row by row. A run with a
 * `checkpoint` that was interrupted is continued by the next one, at a chunk of a window, and ends with the same numbers.
 *
 * Throws a UsageError if options make no sense, a text is too short or the models have different tokens, a
 * MalformedInputError for damaged files, an EnvironmentError if something cannot be read or written or llama.cpp
 * fails, a CancelledError when stopped.
 */
export async function perplexity(given: PerplexityOptions): Promise<PerplexityResult> {
  const options = perplexityCommand.read(given);
  checkOptions(options);
  const machines = queueSettings(options);
  const texts = await namedTexts(options.text);
  await checkPaths(
    options,
    texts.map(({ path }) => path),
  );
  const result = await measureModels({
    ...options,
    models: [options.model],
    texts,
    base: options.klDivergenceBase,
    save: options.saveAllLogits,
    machines,
  });
  const { context, chunks, seconds } = result;
  const [measured] = result.measured;
  const tokens = chunks * context;
  return {
    model: options.model,
    ...measured.pooled,
    context,
    chunks,
    tokens,
    texts: measured.texts,
    byPosition: measured.byPosition,
    ...(measured.routing && { routing: measured.routing }),
    ...(result.floor && { floor: result.floor }),
    seconds,
    tokensPerSecond: seconds > 0 ? tokens / seconds : 0,
  };
}

function checkOptions({ text, reference, klDivergenceBase, saveAllLogits, queue }: Settings): void {
  if (queue !== undefined && (klDivergenceBase ?? saveAllLogits) !== undefined) {
    throw new UsageError(
      "files of log-probabilities are read and written on one machine; leave out `queue`, or compare with `reference`.",
    );
  }
  if ([reference, klDivergenceBase, saveAllLogits].filter((path) => path !== undefined).length > 1) {
    throw new UsageError(
      "`reference`, `klDivergenceBase` and `saveAllLogits` exclude each other; use one at a time.",
    );
  }
  const isPlain = text.length === 1 && !text.some(isConversations);
  if (!isPlain && (klDivergenceBase !== undefined || saveAllLogits !== undefined)) {
    throw new UsageError(
      "a file of log-probabilities has one plain text; give one, or compare with `reference`.",
    );
  }
}

/** What can be known to fail is found out before a model is loaded. */
async function checkPaths(options: Settings, texts: readonly string[]): Promise<void> {
  const { model, reference, klDivergenceBase: base, saveAllLogits, checkpoint } = options;
  if (base === undefined) {
    for (const text of texts) {
      await checkText(text, options.onWarning);
    }
  } else {
    await checkReadable(base);
  }
  if (options.imatrix !== undefined) {
    await checkReadable(options.imatrix);
  }
  await checkOutputs([saveAllLogits, checkpoint], [model, reference, ...texts, base, options.imatrix]);
  if (saveAllLogits === undefined) {
    return;
  }
  const trial = await OutputFile.create(saveAllLogits, 0);
  await trial.discard();
}
