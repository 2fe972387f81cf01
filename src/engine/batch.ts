/** What is given to a decode. */
import { InternalError } from "../errors.js";
import type { NativeBlock } from "./memory.js";
import type { NativeBatch } from "./native.js";

/** Consecutive tokens of one sequence. */
export interface SequenceTokens {
  readonly sequence: number;
  /** Position of the first token in its sequence. */
  readonly position: number;
  readonly tokens: ArrayLike<number>;
  /** Index in `tokens` from which on logits are wanted; only the last token's by default, none if its length. */
  readonly logitsFrom?: number;
  /** One vector for each token, in its place or beside it (see `ContextOptions.vectorInput` and `prediction`). */
  readonly vectors?: Float32Array;
}

/** Of batches of vectors. */
export interface VectorBatch {
  /** Length of a vector. */
  readonly width: number;
  /** Numbers that say a vector's position: more than one for multimodal rotary embeddings. */
  readonly positions: number;
  /** The tokens are given too. */
  readonly besideTokens?: boolean;
}

/** A `llama_batch` of our own in native memory, filled anew for each decode. */
export class BatchBuffers {
  readonly struct: NativeBatch;
  readonly #capacity: number;
  readonly #blocks: NativeBlock[];
  readonly #tokens: Int32Array;
  readonly #positions: Int32Array;
  readonly #sequences: Int32Array;
  readonly #logits: Int8Array;
  readonly #vectorBatch: VectorBatch | undefined;
  readonly #vectors: Float32Array;

  /** For at most `capacity` tokens, or as many vectors. */
  constructor(allocate: (byteLength: number) => NativeBlock, capacity: number, vectorBatch?: VectorBatch) {
    const block = (bytesPerToken: number) => allocate(bytesPerToken * capacity);
    const tokens = block(4);
    const vectors = block(4 * (vectorBatch?.width ?? 1));
    const positions = block(4 * (vectorBatch?.positions ?? 1));
    const counts = block(4);
    const sequences = block(4);
    const sequencePointers = block(8);
    const logits = block(1);
    this.#capacity = capacity;
    this.#blocks = [tokens, vectors, positions, counts, sequences, sequencePointers, logits];
    this.#vectorBatch = vectorBatch;
    this.#tokens = new Int32Array(tokens.buffer);
    this.#vectors = new Float32Array(vectors.buffer);
    this.#positions = new Int32Array(positions.buffer);
    this.#sequences = new Int32Array(sequences.buffer);
    this.#logits = new Int8Array(logits.buffer);
    // Every token belongs to one sequence, so its list of sequences has one entry.
    new Int32Array(counts.buffer).fill(1);
    new BigUint64Array(sequencePointers.buffer).forEach((_, index, pointers) => {
      pointers[index] = BigInt(sequences.address + 4 * index);
    });
    this.struct = {
      n_tokens: 0,
      token: vectorBatch && !vectorBatch.besideTokens ? 0 : tokens.address,
      embd: vectorBatch ? vectors.address : 0,
      pos: positions.address,
      n_seq_id: counts.address,
      seq_id: sequencePointers.address,
      logits: logits.address,
    };
  }

  /** Writes the sequences one after the other; returns the number of tokens whose logits are wanted. */
  fill(sequences: readonly SequenceTokens[]): number {
    const total = sequences.reduce((sum, { tokens }) => sum + tokens.length, 0);
    if (total === 0 || total > this.#capacity) {
      throw new InternalError(`a decode of ${total} tokens; it must have 1 to ${this.#capacity}.`);
    }
    let at = 0;
    let rows = 0;
    for (const { sequence, position, tokens, logitsFrom = tokens.length - 1, vectors } of sequences) {
      const end = at + tokens.length;
      if (this.#vectorBatch) {
        this.#setVectors(this.#vectorBatch, tokens.length, vectors, at);
      }
      this.#tokens.set(tokens, at);
      this.#sequences.fill(sequence, at, end);
      this.#logits.fill(0, at, at + logitsFrom).fill(1, at + logitsFrom, end);
      for (let index = 0; index < tokens.length; index++) {
        this.#positions[at + index] = position + index;
      }
      rows += tokens.length - logitsFrom;
      at = end;
    }
    this.#repeatPositions(total);
    this.struct.n_tokens = total;
    return rows;
  }

  #setVectors({ width }: VectorBatch, count: number, vectors: Float32Array | undefined, at: number): void {
    if (vectors?.length !== count * width) {
      throw new InternalError(`${count} vectors of ${width} numbers have ${vectors?.length ?? 0} numbers.`);
    }
    this.#vectors.set(vectors, at * width);
  }

  /**
   * Text has the same position along the three axes of an image, and none along the fourth (`set_input` of
   * `llm_graph_input_pos` in llama.cpp `src/llama-graph.cpp`, which does this for tokens by itself).
   */
  #repeatPositions(total: number): void {
    const sections = this.#vectorBatch?.positions ?? 1;
    for (let section = 1; section < sections; section++) {
      if (section < 3) {
        this.#positions.copyWithin(section * total, 0, total);
      } else {
        this.#positions.fill(0, section * total, (section + 1) * total);
      }
    }
  }

  free(): void {
    for (const block of this.#blocks) {
      block.free();
    }
  }
}
