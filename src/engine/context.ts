/** A context: the KV cache of some sequences, and decoding in it. */
import { CancelledError, EnvironmentError, InternalError, UsageError } from "../errors.js";
import { type TypeName, traitsOf } from "../quants/types.js";
import { contextFailure, explain } from "./failures.js";
import type { NativeBlock } from "./memory.js";
import { type MemoryUse, parseMemoryUse } from "./memory-use.js";
import type { Model } from "./model.js";
import { type Address, type Batch, C, registerCallback } from "./native.js";
import { type Observer, Observers } from "./observer.js";
import { defaultThreads } from "./threads.js";

/** How to make a context. Defaults are llama.cpp's tools'. */
export interface ContextOptions {
  /** Tokens that each sequence may have. */
  readonly contextLength: number;
  /** Sequences held at once; 1 by default. */
  readonly sequences?: number;
  /** Tokens at most in one decode (`n_batch`); 2048 by default. */
  readonly batchSize?: number;
  /** Tokens computed at once (`n_ubatch`); 512 by default. */
  readonly microBatchSize?: number;
  /** Threads; one per physical core by default. */
  readonly threads?: number;
  /** Types of the KV cache; F16 by default. */
  readonly keyCacheType?: TypeName;
  readonly valueCacheType?: TypeName;
  /** Allow more tokens per sequence than the model was trained with. */
  readonly beyondTraining?: boolean;
  /** Who watches the computation. Watching costs time even if nothing is wanted. */
  readonly observers?: readonly Observer[];
}

/** Consecutive tokens of one sequence. */
export interface SequenceTokens {
  readonly sequence: number;
  /** Position of the first token in its sequence. */
  readonly position: number;
  readonly tokens: ArrayLike<number>;
  /** Index in `tokens` from which on logits are wanted; only the last token's by default, none if its length. */
  readonly logitsFrom?: number;
}

/** Decodes batches of several sequences. Release it with `close`. */
export class ModelContext {
  readonly model: Model;
  /** Tokens that each sequence may have; llama.cpp rounds up to a multiple of 256. */
  readonly contextLength: number;
  readonly batchSize: number;
  /** Bytes of KV cache and activations. */
  readonly memoryUse: MemoryUse;
  readonly #observers: Observers | undefined;
  readonly #release: (() => void)[] = [];
  readonly #batch: BatchBuffers;
  readonly #onClose: () => void;
  #address: Address;
  #logitsRows = 0;

  /** Use `Model.createContext`. */
  constructor(model: Model, modelAddress: Address, options: ContextOptions, onClose: () => void) {
    const { native, ffi, log, memory, space } = model.library;
    const sequences = options.sequences ?? 1;
    checkContextLength(model, options);
    this.model = model;
    this.#onClose = onClose;
    const tokens = options.contextLength * sequences;
    const threads = options.threads ?? defaultThreads();
    const abort = registerCallback(ffi, "abort", () => this.#mustStop());
    this.#release.push(abort.release);
    const params = {
      ...native.llama_context_default_params(),
      n_ctx: tokens,
      n_batch: Math.min(options.batchSize ?? 2048, tokens),
      n_ubatch: options.microBatchSize ?? 512,
      n_seq_max: sequences,
      n_threads: threads,
      n_threads_batch: threads,
      type_k: traitsOf(options.keyCacheType ?? "F16").id,
      type_v: traitsOf(options.valueCacheType ?? "F16").id,
      abort_callback: abort.address,
    };
    if (options.observers && options.observers.length > 0) {
      const observers = new Observers(options.observers, space, model.isCancelled);
      const evaluate = registerCallback(ffi, "evaluate", (node, ask) => observers.evaluate(node, ask));
      this.#release.push(evaluate.release);
      this.#observers = observers;
      params.cb_eval = evaluate.address;
    }
    const mark = log.mark;
    log.step(`making a context of ${tokens} tokens for ${model.path}`);
    this.#address = native.llama_init_from_model(modelAddress, params);
    if (this.#address === 0) {
      for (const release of this.#release) release();
      throw contextFailure(model.path, tokens, log.since(mark));
    }
    this.memoryUse = parseMemoryUse(log.since(mark));
    this.contextLength = native.llama_n_ctx_seq(this.#address);
    this.batchSize = native.llama_n_batch(this.#address);
    this.#batch = new BatchBuffers(memory.allocate.bind(memory), this.batchSize);
  }

  /**
   * Computes a batch and returns the number of rows of logits.
   * @throws UsageError if a sequence has no room left; CancelledError; EnvironmentError if llama.cpp fails
   */
  decode(sequences: readonly SequenceTokens[]): number {
    const { native, log } = this.model.library;
    if (this.model.isCancelled()) throw new CancelledError(`decoding with ${this.model.path} was stopped.`);
    this.#logitsRows = this.#batch.fill(sequences);
    const mark = log.mark;
    log.step(`decoding with ${this.model.path}`);
    const status = native.llama_decode(this.#address, this.#batch.struct);
    const failure = this.#observers?.failure;
    if (this.#observers) this.#observers.failure = undefined;
    if (failure) throw failure.error;
    // An evaluation callback that stops ends a part of the graph only, and the decode still reports success.
    if (status === C.decode.aborted || this.model.isCancelled())
      throw new CancelledError(`decoding with ${this.model.path} was stopped.`);
    if (status === C.decode.noRoom)
      throw new UsageError(
        `${this.model.path}: ${this.#batch.struct.n_tokens} more tokens do not fit in the context of ${this.contextLength} tokens per sequence; use a longer context.`,
      );
    if (status !== C.decode.done)
      throw new EnvironmentError(
        `${this.model.path}: llama.cpp failed to decode ${this.#batch.struct.n_tokens} tokens (status ${status}): ${explain(log.since(mark)) || "it gave no reason"}.`,
        { file: this.model.path, status },
      );
    return this.#logitsRows;
  }

  /**
   * Logits of the last decode: rows of the vocabulary's size, in the order of the tokens that wanted them. A view
   * of native memory that the next decode overwrites.
   */
  logits(): Float32Array {
    const { native, memory } = this.model.library;
    const values = this.#logitsRows * this.model.facts.vocabularySize;
    if (values === 0) return new Float32Array(0);
    return new Float32Array(memory.view(native.llama_get_logits(this.#address), 4 * values));
  }

  /** Waits until a graphics processor has finished; decodes on it return before. */
  synchronize(): void {
    this.model.library.native.llama_synchronize(this.#address);
  }

  /** Forgets all sequences. */
  clear(): void {
    const { native } = this.model.library;
    native.llama_memory_clear(native.llama_get_memory(this.#address), true);
  }

  /** Forgets a sequence's tokens from a position on. */
  truncate(sequence: number, position: number): void {
    const { native } = this.model.library;
    if (!native.llama_memory_seq_rm(native.llama_get_memory(this.#address), sequence, position, -1))
      throw new InternalError(`sequence ${sequence} of ${this.model.path} cannot be cut at ${position}.`);
  }

  /** Releases the context; logits and activations seen in it become invalid. */
  close(): void {
    if (this.#address === 0) return;
    this.model.library.native.llama_free(this.#address);
    this.#address = 0;
    for (const release of this.#release) release();
    this.#batch.free();
    this.model.library.memory.forget();
    this.#onClose();
  }

  #mustStop(): boolean {
    return this.#observers?.failure !== undefined || this.model.isCancelled();
  }
}

function checkContextLength(model: Model, { contextLength, sequences = 1, beyondTraining }: ContextOptions) {
  const trained = model.facts.trainedContextLength;
  const most = model.library.native.llama_max_parallel_sequences();
  if (!Number.isInteger(contextLength) || contextLength < 1)
    throw new UsageError(`a context of ${contextLength} tokens is not possible; use at least 1.`);
  if (!Number.isInteger(sequences) || sequences < 1 || sequences > most)
    throw new UsageError(`${sequences} sequences at once are not possible; use 1 to ${most}.`);
  if (contextLength > trained && trained > 0 && !beyondTraining)
    throw new UsageError(
      `${model.path}: a context of ${contextLength} tokens is longer than the ${trained} that the model was trained with; use at most ${trained}.`,
      { contextLength, trained },
    );
}

/** A `llama_batch` of our own in native memory, filled anew for each decode. */
class BatchBuffers {
  readonly struct: Batch;
  readonly #capacity: number;
  readonly #blocks: NativeBlock[];
  readonly #tokens: Int32Array;
  readonly #positions: Int32Array;
  readonly #sequences: Int32Array;
  readonly #logits: Int8Array;

  constructor(allocate: (byteLength: number) => NativeBlock, capacity: number) {
    const block = (bytesPerToken: number) => allocate(bytesPerToken * capacity);
    const tokens = block(4);
    const positions = block(4);
    const counts = block(4);
    const sequences = block(4);
    const sequencePointers = block(8);
    const logits = block(1);
    this.#capacity = capacity;
    this.#blocks = [tokens, positions, counts, sequences, sequencePointers, logits];
    this.#tokens = new Int32Array(tokens.buffer);
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
      token: tokens.address,
      embd: 0,
      pos: positions.address,
      n_seq_id: counts.address,
      seq_id: sequencePointers.address,
      logits: logits.address,
    };
  }

  /** Writes the sequences one after the other; returns the number of tokens whose logits are wanted. */
  fill(sequences: readonly SequenceTokens[]): number {
    const total = sequences.reduce((sum, { tokens }) => sum + tokens.length, 0);
    if (total === 0 || total > this.#capacity)
      throw new InternalError(`a decode of ${total} tokens; it must have 1 to ${this.#capacity}.`);
    let at = 0;
    let rows = 0;
    for (const { sequence, position, tokens, logitsFrom = tokens.length - 1 } of sequences) {
      const end = at + tokens.length;
      this.#tokens.set(tokens, at);
      this.#sequences.fill(sequence, at, end);
      this.#logits.fill(0, at, at + logitsFrom).fill(1, at + logitsFrom, end);
      for (let index = 0; index < tokens.length; index++) this.#positions[at + index] = position + index;
      rows += tokens.length - logitsFrom;
      at = end;
    }
    this.struct.n_tokens = total;
    return rows;
  }

  free(): void {
    for (const block of this.#blocks) block.free();
  }
}
