/** What is done with the logits of each scored position: one class for each way of measuring. */
import type { OpenWindow } from "../activations/sweep.js";
import type { ModelContext } from "../engine/context.js";
import { MalformedInputError } from "../errors.js";
import type { RowScore } from "../reduce/reducer.js";
import type { ChunkBatch, TextChunks } from "../text/chunks.js";
import { type Divergence, DivergenceStatistics } from "./divergence.js";
import { compareWithBase, type LogitsBase, logProbability } from "./logits-base.js";
import { LogitsBaseWriter } from "./logits-base-file.js";
import { type Perplexity, perplexityOf, scoredPerChunk } from "./perplexity.js";
import { compareRows, scoreRow } from "./softmax.js";
import { RunningStatistics } from "./statistics.js";

/** One scored position. */
export interface Position {
  /** Row of logits in the batch. */
  readonly row: number;
  readonly chunk: number;
  /** In the chunk. */
  readonly position: number;
  /** Counted from the first one scored. */
  readonly scored: number;
  /** The token that follows in the text. */
  readonly target: number;
  /** Logits of the model. */
  readonly values: Float32Array;
}

/** What is done with each position: one for each way of measuring. */
export interface Scorer {
  /** Follows a decode of the model. */
  decode(batch: ChunkBatch): void;
  score(position: Position): Promise<RowScore> | RowScore;
  /** Perplexity so far. */
  soFar(): number;
  finish(): Promise<void>;
  result(): Perplexity | Divergence;
  close(): Promise<void>;
}

/** Perplexity alone; writes the base file if asked to. */
export class PlainScorer implements Scorer {
  readonly #nll = new RunningStatistics();

  readonly #writer: LogitsBaseWriter | undefined;

  private constructor(writer: LogitsBaseWriter | undefined) {
    this.#writer = writer;
  }

  /** `save` is the path of the base file. */
  static async create(save: string | undefined, text: TextChunks, vocabulary: number): Promise<PlainScorer> {
    if (save === undefined) {
      return new PlainScorer(undefined);
    }
    return new PlainScorer(await LogitsBaseWriter.create(save, { ...text, vocabulary }));
  }

  decode(): void {}

  async score({ values, target }: Position): Promise<RowScore> {
    const score = scoreRow(values);
    this.#nll.add(score.logSumExp - (values[target] ?? Number.NaN));
    await this.#writer?.add(values, score);
    return score;
  }

  soFar(): number {
    return perplexityOf(this.#nll).ppl;
  }

  async finish(): Promise<void> {
    await this.#writer?.commit();
  }

  result(): Perplexity {
    return perplexityOf(this.#nll);
  }

  async close(): Promise<void> {
    await this.#writer?.discard();
  }
}

/** Comparison with a base file. */
export class BaseScorer implements Scorer {
  readonly #statistics: DivergenceStatistics;

  readonly #base: LogitsBase;

  constructor({ chunks, context }: TextChunks, base: LogitsBase) {
    this.#base = base;
    this.#statistics = new DivergenceStatistics(chunks * scoredPerChunk(context));
  }

  decode(): void {}

  async score({ chunk, scored, target, values }: Position): Promise<RowScore> {
    const row = await this.#base.row(chunk, scored);
    const { score, divergence, sameTop } = compareWithBase(row, values);
    const nll = score.logSumExp - (values[target] ?? Number.NaN);
    this.#statistics.add({ nll, referenceNll: -logProbability(row, target), divergence, sameTop });
    return score;
  }

  soFar(): number {
    return this.#statistics.perplexity().ppl;
  }

  async finish(): Promise<void> {}

  result(): Divergence {
    return this.#statistics.result();
  }

  async close(): Promise<void> {}
}

/** Comparison with a reference model that computes the same batches. */
export class ReferenceScorer implements Scorer {
  readonly #statistics: DivergenceStatistics;
  #logits: Float32Array = new Float32Array(0);

  readonly #window: OpenWindow;

  /** `window` is the reference model's last one. */
  constructor({ chunks, context: chunkSize }: TextChunks, window: OpenWindow) {
    this.#window = window;
    this.#statistics = new DivergenceStatistics(chunks * scoredPerChunk(chunkSize));
  }

  decode(batch: ChunkBatch): void {
    this.#window.decode(batch);
    this.#logits = this.#window.context.logits();
  }

  score({ row, chunk, position, target, values }: Position): RowScore {
    const expected = this.#logits.subarray(row * values.length, (row + 1) * values.length);
    const { reference, score, divergence } = compareRows(expected, values);
    if (Number.isNaN(reference.logSumExp)) {
      throw noNumbers(this.#window.model.path, chunk, position);
    }
    this.#statistics.add({
      nll: score.logSumExp - (values[target] ?? Number.NaN),
      referenceNll: reference.logSumExp - (expected[target] ?? Number.NaN),
      divergence,
      sameTop: score.top === reference.top,
    });
    return score;
  }

  soFar(): number {
    return this.#statistics.perplexity().ppl;
  }

  async finish(): Promise<void> {}

  result(): Divergence {
    return this.#statistics.result();
  }

  async close(): Promise<void> {}
}

/** Decodes a batch of chunks. */
export function decodeChunks(context: ModelContext, batch: ChunkBatch): void {
  if (batch.begins) {
    context.clear();
  }
  context.decode(batch.sequences);
}

/** The error for logits that are NaN or infinite. */
export function noNumbers(model: string, chunk: number, position: number): MalformedInputError {
  return new MalformedInputError(
    `${model}: its logits are not finite numbers at position ${position} of chunk ${chunk + 1}. The model's weights are damaged, or its activations overflow.`,
    { file: model },
  );
}
