/** The part of measuring perplexity that happens beside the model: decode the chunks, score every row of logits. */
import { FileSource } from "../bytes/source.js";
import type { ModelContext } from "../engine/context.js";
import { defineJob, type JobHost } from "../engine/job.js";
import type { Model, ModelOptions } from "../engine/model.js";
import { UsageError } from "../errors.js";
import { batchesOf, batchTokens, cutIntoChunks, sequencesTogether, type TextChunks } from "../text/chunks.js";
import { readText, tokensOf } from "../text/text.js";
import type { Divergence } from "./divergence.js";
import { LogitsBase } from "./logits-base.js";
import { firstScored, type Perplexity, scoredPerChunk } from "./perplexity.js";
import { BaseScorer, decodeChunks, noNumbers, PlainScorer, ReferenceScorer, type Scorer } from "./scorers.js";

export interface MeasureParams {
  readonly model: ModelOptions;
  /** Compared with, in the same pass. */
  readonly reference: ModelOptions | undefined;
  /** Path of a base file to compare with; text and chunks are then its own. */
  readonly base: string | undefined;
  /** Path of a base file to write. */
  readonly save: string | undefined;
  /** Path of the text. */
  readonly text: string;
  /** Tokens in a chunk. */
  readonly context: number;
  /** Most chunks; all of the text if undefined. */
  readonly chunks: number | undefined;
  readonly parseSpecial: boolean;
  /** Threads; all by default. */
  readonly threads: number | undefined;
}

export interface MeasureResult {
  readonly context: number;
  readonly chunks: number;
  /** Perplexity alone, or the whole comparison. */
  readonly measured: Perplexity | Divergence;
  /** Time spent on chunks, without loading. */
  readonly seconds: number;
}

/** Chunks done, of how many, and the perplexity so far. */
export interface MeasureEvent {
  readonly done: number;
  readonly total: number;
  readonly ppl: number | undefined;
}

/** Measures a model's perplexity, and how it differs from a reference model or a base file. */
export const measure = defineJob(
  import.meta.url,
  "measure",
  async (params: MeasureParams, host: JobHost<MeasureEvent>): Promise<MeasureResult> => {
    const model = host.model(params.model);
    const base = params.base === undefined ? undefined : await openBase(params.base);
    try {
      const reference = params.reference === undefined ? undefined : host.model(params.reference);
      const text =
        base === undefined ? await readChunks(params, model, reference) : chunksOf(base, params, model);
      const scorer = await createScorer(params, text, model, reference, base);
      try {
        return await run(params, host, text, model, scorer);
      } finally {
        await scorer.close();
      }
    } finally {
      await base?.close();
    }
  },
);

async function run(
  params: MeasureParams,
  host: JobHost<MeasureEvent>,
  text: TextChunks,
  model: Model,
  scorer: Scorer,
): Promise<MeasureResult> {
  const { addsBos, bosToken, vocabularySize } = model.facts;
  const context = createContext(model, text, params.threads);
  const begin = performance.now();
  host.emit({ done: 0, total: text.chunks, ppl: undefined });
  try {
    const first = firstScored(text.context);
    const startToken = addsBos ? bosToken : undefined;
    const sequences = togetherOf(model, text);
    const options = { sequences, batchSize: context.batchSize, logitsFrom: first, startToken };
    for (const batch of batchesOf(text, options)) {
      decodeChunks(context, batch);
      scorer.decode(batch);
      const logits = context.logits();
      for (const [row, { chunk, position }] of batch.rows.entries()) {
        if (position === text.context - 1) {
          continue;
        }
        const target = text.tokens[chunk * text.context + position + 1] ?? 0;
        const values = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize);
        const score = await scorer.score({ row, chunk, position, scored: position - first, target, values });
        if (Number.isNaN(score.logSumExp)) {
          throw noNumbers(model.path, chunk, position);
        }
      }
      if (batch.ends) {
        host.emit({ done: batch.end, total: text.chunks, ppl: scorer.soFar() });
      }
    }
    await scorer.finish();
  } finally {
    context.close();
  }
  const seconds = (performance.now() - begin) / 1000;
  return { context: text.context, chunks: text.chunks, measured: scorer.result(), seconds };
}

async function openBase(path: string): Promise<LogitsBase> {
  const source = await FileSource.open(path);
  try {
    return await LogitsBase.open(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

function createScorer(
  params: MeasureParams,
  text: TextChunks,
  model: Model,
  reference: Model | undefined,
  base: LogitsBase | undefined,
): Promise<Scorer> | Scorer {
  if (base !== undefined) {
    return new BaseScorer(text, base);
  }
  if (reference !== undefined) {
    return new ReferenceScorer(text, createContext(reference, text, params.threads));
  }
  return PlainScorer.create(params.save, text, model.facts.vocabularySize);
}

async function readChunks(
  { text, context, chunks, parseSpecial }: MeasureParams,
  model: Model,
  reference: Model | undefined,
): Promise<TextChunks> {
  const bytes = await readText(text, tokensOf({ context, chunks }));
  const tokens = model.tokenize(bytes, { parseSpecial });
  if (reference !== undefined) {
    const sizes = [model.facts.vocabularySize, reference.facts.vocabularySize] as const;
    const same = Buffer.from(tokens.buffer).equals(
      Buffer.from(reference.tokenize(bytes, { parseSpecial }).buffer),
    );
    if (sizes[0] !== sizes[1] || !same) {
      throw new UsageError(
        `${model.path} and ${reference.path} cut ${text} into different tokens (from vocabularies of ${sizes[0]} and ${sizes[1]}). Only models with the same tokens can be compared.`,
      );
    }
  }
  return cutIntoChunks(text, tokens, { context, chunks });
}

function chunksOf({ header }: LogitsBase, { base, chunks }: MeasureParams, model: Model): TextChunks {
  const { vocabularySize } = model.facts;
  if (header.vocabulary !== vocabularySize) {
    throw new UsageError(
      `${base}: is of a vocabulary of ${header.vocabulary} tokens, but ${model.path} has ${vocabularySize}. Only models with the same tokens can be compared.`,
      { file: base },
    );
  }
  const count = Math.min(chunks ?? header.chunks, header.chunks);
  return {
    context: header.context,
    chunks: count,
    tokens: header.tokens.subarray(0, count * header.context),
  };
}

function togetherOf(model: Model, { context }: TextChunks): number {
  return sequencesTogether(context, scoredPerChunk(context) + 1, model.facts.vocabularySize);
}

function createContext(model: Model, text: TextChunks, threads: number | undefined): ModelContext {
  return model.createContext({
    contextLength: text.context,
    sequences: togetherOf(model, text),
    batchSize: batchTokens,
    threads,
  });
}
