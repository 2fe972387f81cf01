/** How each scored position is scored: one class for each way of measuring. */
import type { ModelContext } from "../engine/context.js";
import { MalformedInputError } from "../errors.js";
import type { ChunkBatch, TextChunks } from "../text/chunks.js";
import { compareWithBase, type LogitsBase, logProbability } from "./logits-base.js";
import { LogitsBaseWriter } from "./logits-base-file.js";
import type { PositionScore } from "./scores.js";
import { compareRows, scoreRow } from "./softmax.js";

/** One scored position. */
export interface Position {
  readonly chunk: number;
  /** In the chunk. */
  readonly position: number;
  /** Counted from the first one scored. */
  readonly scored: number;
  /** The token that follows in the text. */
  readonly target: number;
  /** Logits of the model. */
  readonly values: Float32Array;
  /** Logits of the reference model, if there is one. */
  readonly expected: Float32Array | undefined;
}

/** A way of measuring. */
export interface Scorer {
  score(position: Position): Promise<PositionScore> | PositionScore;
  finish(): Promise<void>;
  close(): Promise<void>;
}

/** Perplexity alone; writes the base file if asked to. */
export class PlainScorer implements Scorer {
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

  async score({ values, target }: Position): Promise<PositionScore> {
    const score = scoreRow(values);
    await this.#writer?.add(values, score);
    return { nll: score.logSumExp - (values[target] ?? Number.NaN) };
  }

  async finish(): Promise<void> {
    await this.#writer?.commit();
  }

  async close(): Promise<void> {
    await this.#writer?.discard();
  }
}

/** Comparison with a base file. */
export class BaseScorer implements Scorer {
  readonly #base: LogitsBase;

  constructor(base: LogitsBase) {
    this.#base = base;
  }

  async score({ chunk, scored, target, values }: Position): Promise<PositionScore> {
    const row = await this.#base.row(chunk, scored);
    const { score, divergence, sameTop } = compareWithBase(row, values);
    const nll = score.logSumExp - (values[target] ?? Number.NaN);
    return { nll, comparison: { referenceNll: -logProbability(row, target), divergence, sameTop } };
  }

  async finish(): Promise<void> {}

  async close(): Promise<void> {}
}

/** Comparison with a reference model that computes the same batches. */
export class ReferenceScorer implements Scorer {
  /** What to call the reference model in messages. */
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  score({ chunk, position, target, values, expected = values }: Position): PositionScore {
    const { reference, score, divergence } = compareRows(expected, values);
    if (Number.isNaN(reference.logSumExp)) {
      throw noNumbers(this.#name, chunk, position);
    }
    return {
      nll: score.logSumExp - (values[target] ?? Number.NaN),
      comparison: {
        referenceNll: reference.logSumExp - (expected[target] ?? Number.NaN),
        divergence,
        sameTop: score.top === reference.top,
      },
    };
  }

  async finish(): Promise<void> {}

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
