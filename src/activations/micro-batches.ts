/**
 * Which tokens of a text the rows of a node are. llama.cpp computes a batch in micro-batches that have as many tokens of
 * each sequence, in the sequences' order (`split_equal` in its `src/llama-batch.cpp`).
 */
import { InternalError } from "../errors.js";
import type { ChunkBatch } from "../text/chunks.js";

/** Consecutive tokens of the text in consecutive rows. */
export interface RowsOfTokens {
  /** The first token, counted through the text's chunks. */
  readonly token: number;
  readonly count: number;
  /** The first row. */
  readonly row: number;
}

/** The micro-batches of one decode, for one node that each of them computes. */
export class MicroBatches {
  #expected: { readonly position: number; readonly count: number }[] = [];
  #chunks: number[] = [];
  #context = 0;

  /** Before a decode, of chunks of `context` tokens. */
  begin(batch: ChunkBatch, context: number, microBatchSize: number): void {
    const [first] = batch.sequences;
    const count = first?.tokens.length ?? 0;
    const start = first?.position ?? 0;
    const together = Math.max(1, Math.floor(microBatchSize / batch.sequences.length));
    this.#context = context;
    this.#chunks = batch.sequences.map(({ sequence }) => batch.first + sequence);
    this.#expected = [];
    for (let done = 0; done < count; done += together) {
      this.#expected.push({ position: start + done, count: Math.min(together, count - done) });
    }
  }

  /** When a micro-batch's node is there. Throws an InternalError if it has another number of rows. */
  next(node: string, rows: number): readonly RowsOfTokens[] {
    const { position = 0, count = 0 } = this.#expected.shift() ?? {};
    if (count === 0 || rows !== count * this.#chunks.length) {
      throw new InternalError(
        `"${node}" has ${rows} vectors, where ${count * this.#chunks.length} were expected.`,
      );
    }
    return this.#chunks.map((chunk, i) => ({
      token: chunk * this.#context + position,
      count,
      row: i * count,
    }));
  }

  /** Whether all micro-batches have been seen. */
  get isDone(): boolean {
    return this.#expected.length === 0;
  }
}
