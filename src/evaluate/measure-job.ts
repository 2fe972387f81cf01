/**
 * The part of measuring perplexity that happens beside the model: run the layers over the chunks, score every row of
 * logits. With a reference both models are run up to their last windows one after the other, then these two together.
 */
import { type OpenWindow, Sweep, type SweptModel } from "../activations/sweep.js";
import { WindowClient } from "../activations/window-client.js";
import type { WindowReply, WindowRequest } from "../activations/window-messages.js";
import { FileSource } from "../bytes/source.js";
import { defineJob, type JobHost } from "../engine/job.js";
import { UsageError } from "../errors.js";
import {
  type BatchOptions,
  batchesOf,
  cutIntoChunks,
  sequencesTogether,
  type TextChunks,
} from "../text/chunks.js";
import { readTextFile, tokensOf } from "../text/text.js";
import type { Divergence } from "./divergence.js";
import { LogitsBase } from "./logits-base.js";
import { firstScored, type Perplexity, scoredPerChunk } from "./perplexity.js";
import { BaseScorer, noNumbers, PlainScorer, ReferenceScorer, type Scorer } from "./scorers.js";

export interface MeasureParams {
  readonly model: SweptModel;
  /** Compared with. */
  readonly reference: SweptModel | undefined;
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

/** Chunks done, of how many, and the perplexity so far. In windows, chunks that as many layers make up. */
export interface MeasureEvent {
  readonly done: number;
  readonly total: number;
  readonly ppl: number | undefined;
}

type MeasureHost = JobHost<MeasureEvent | WindowRequest, WindowReply>;

/** Measures a model's perplexity, and how it differs from a reference model or a base file. */
export const measure = defineJob(
  import.meta.url,
  "measure",
  async (params: MeasureParams, host: MeasureHost): Promise<MeasureResult> => {
    const base = params.base === undefined ? undefined : await openBase(params.base);
    const client = new WindowClient(host);
    const sweeps: Sweep[] = [];
    try {
      for (const swept of [params.model, ...(params.reference ? [params.reference] : [])]) {
        sweeps.push(new Sweep(host, client, swept, sweeps.length));
      }
      const [sweep, reference] = sweeps as [Sweep, Sweep | undefined];
      const text =
        base === undefined ? await readChunks(params, sweep, reference) : chunksOf(base, params, sweep);
      return await new Measurement(params, host, text, sweep, reference).run(base);
    } finally {
      for (const sweep of sweeps) {
        sweep.close();
      }
      await base?.close();
    }
  },
);

class Measurement {
  readonly #params: MeasureParams;
  readonly #host: MeasureHost;
  readonly #text: TextChunks;
  readonly #sweep: Sweep;
  readonly #reference: Sweep | undefined;
  readonly #sequences: number;
  #seconds = 0;
  /** Windows that are done, of both models. */
  #windowsDone = 0;

  constructor(
    params: MeasureParams,
    host: MeasureHost,
    text: TextChunks,
    sweep: Sweep,
    reference: Sweep | undefined,
  ) {
    this.#params = params;
    this.#host = host;
    this.#text = text;
    this.#sweep = sweep;
    this.#reference = reference;
    const { vocabularySize } = sweep.facts;
    this.#sequences = sequencesTogether(text.context, scoredPerChunk(text.context) + 1, vocabularySize);
  }

  async run(base: LogitsBase | undefined): Promise<MeasureResult> {
    const text = this.#text;
    if (this.#reference) {
      this.#runToLast(this.#reference);
    }
    this.#runToLast(this.#sweep);
    const opened: OpenWindow[] = [];
    try {
      const last = this.#openLast(this.#sweep, opened);
      const reference = this.#reference && this.#openLast(this.#reference, opened);
      const scorer = await this.#createScorer(base, reference);
      try {
        await this.#score(last, scorer);
        return {
          context: text.context,
          chunks: text.chunks,
          measured: scorer.result(),
          seconds: this.#seconds,
        };
      } finally {
        await scorer.close();
      }
    } finally {
      for (const window of opened) {
        window.close();
      }
    }
  }

  /** Runs all windows of a model but the last, which make no logits. */
  #runToLast(sweep: Sweep): void {
    sweep.begin({ text: this.#text, sequences: this.#sequences }, false);
    for (let window = 0; window < sweep.windows - 1; window++) {
      const opened = sweep.open(window, { threads: this.#params.threads });
      const started = performance.now();
      try {
        for (const batch of batchesOf(this.#text, this.#batchOptions(sweep, opened))) {
          opened.decode(batch);
          if (batch.ends) {
            this.#tell(batch.end, undefined);
          }
        }
      } finally {
        this.#seconds += (performance.now() - started) / 1000;
        opened.close();
      }
      this.#windowsDone++;
    }
  }

  #openLast(sweep: Sweep, opened: OpenWindow[]): OpenWindow {
    const window = sweep.open(sweep.windows - 1, { threads: this.#params.threads, needsOutput: true });
    opened.push(window);
    return window;
  }

  async #score(last: OpenWindow, scorer: Scorer): Promise<void> {
    const text = this.#text;
    const { vocabularySize } = this.#sweep.facts;
    const begin = performance.now();
    this.#tell(0, undefined);
    for (const batch of batchesOf(text, this.#batchOptions(this.#sweep, last))) {
      last.decode(batch);
      scorer.decode(batch);
      const logits = last.context.logits();
      for (const [row, { chunk, position }] of batch.rows.entries()) {
        if (position === text.context - 1) {
          continue;
        }
        const target = text.tokens[chunk * text.context + position + 1] ?? 0;
        const values = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize);
        const scored = position - firstScored(text.context);
        const score = await scorer.score({ row, chunk, position, scored, target, values });
        if (Number.isNaN(score.logSumExp)) {
          throw noNumbers(this.#sweep.name, chunk, position);
        }
      }
      if (batch.ends) {
        this.#tell(batch.end, scorer.soFar());
      }
    }
    await scorer.finish();
    this.#seconds += (performance.now() - begin) / 1000;
  }

  #createScorer(base: LogitsBase | undefined, reference: OpenWindow | undefined): Promise<Scorer> | Scorer {
    if (base !== undefined) {
      return new BaseScorer(this.#text, base);
    }
    if (reference !== undefined) {
      return new ReferenceScorer(this.#text, reference);
    }
    return PlainScorer.create(this.#params.save, this.#text, this.#sweep.facts.vocabularySize);
  }

  #batchOptions({ facts }: Sweep, { context }: OpenWindow): BatchOptions {
    return {
      sequences: this.#sequences,
      batchSize: context.batchSize,
      logitsFrom: firstScored(this.#text.context),
      startToken: facts.addsBos ? facts.bosToken : undefined,
    };
  }

  /** The last windows of two models are run together and count once. */
  #tell(chunks: number, ppl: number | undefined): void {
    const total = this.#text.chunks;
    const windows = this.#sweep.windows + (this.#reference ? this.#reference.windows - 1 : 0);
    this.#host.emit({ done: (this.#windowsDone * total + chunks) / windows, total, ppl });
  }
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

async function readChunks(
  { text, context, chunks, parseSpecial }: MeasureParams,
  model: Sweep,
  reference: Sweep | undefined,
): Promise<TextChunks> {
  const bytes = await readTextFile(text, tokensOf({ context, chunks }));
  const tokens = model.tokenize(bytes, parseSpecial);
  if (reference !== undefined) {
    const sizes = [model.facts.vocabularySize, reference.facts.vocabularySize] as const;
    const same = Buffer.from(tokens.buffer).equals(
      Buffer.from(reference.tokenize(bytes, parseSpecial).buffer),
    );
    if (sizes[0] !== sizes[1] || !same) {
      throw new UsageError(
        `${model.name} and ${reference.name} cut ${text} into different tokens (from vocabularies of ${sizes[0]} and ${sizes[1]}). Only models with the same tokens can be compared.`,
      );
    }
  }
  return cutIntoChunks(text, tokens, { context, chunks });
}

function chunksOf({ header }: LogitsBase, { base, chunks }: MeasureParams, model: Sweep): TextChunks {
  const { vocabularySize } = model.facts;
  if (header.vocabulary !== vocabularySize) {
    throw new UsageError(
      `${base}: is of a vocabulary of ${header.vocabulary} tokens, but ${model.name} has ${vocabularySize}. Only models with the same tokens can be compared.`,
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
