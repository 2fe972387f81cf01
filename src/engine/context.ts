/** A context: the KV cache of some sequences, and decoding in it. */
import { CancelledError, EnvironmentError, InternalError, UsageError } from "../errors.js";
import { type TypeName, traitsOf } from "../quants/types.js";
import { BatchBuffers, type SequenceTokens, type VectorBatch } from "./batch.js";
import { DecodeThreads } from "./decode-threads.js";
import { contextFailure, explain } from "./failures.js";
import type { LoadedModel } from "./loaded-model.js";
import { type MemoryUse, parseMemoryUse, parsePlannedMemoryUse } from "./memory-use.js";
import { type Address, C, registerCallback } from "./native.js";
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
  /** Threads; by default as many, up to one per physical core, as turn out to be fastest. */
  readonly threads?: number;
  /** Types of the KV cache; F16 by default. */
  readonly keyCacheType?: TypeName;
  readonly valueCacheType?: TypeName;
  /** Let llama.cpp fuse attention where it can, which computes in F16 whatever the cache's type; true by default. */
  readonly fusedAttention?: boolean;
  /**
   * Sliding-window layers keep only what they look back at, as llama-server does by default, rather than the whole
   * context, which only allows to truncate sequences; false by default.
   */
  readonly windowedCache?: boolean;
  /**
   * Makes embeddings rather than logits of what is decoded, a vector for each sequence. The vectors of all tokens
   * are averaged (`mean`) or the first (`cls`) or last one is taken; `unspecified` is as the model's file says.
   */
  readonly pooling?: keyof typeof C.pooling;
  /**
   * Sequences share one cache, as in llama-server. Then tokens of any sequences are computed together; without it
   * only those of consecutive ones are, and each looks through its own tokens alone. False by default.
   */
  readonly sharedCache?: boolean;
  /** What enters the first layer is given as vectors rather than looked up for tokens; false by default. */
  readonly vectorInput?: boolean;
  /**
   * Computes the layers that predict further tokens (MTP): each token is given with the vector of the one before, as
   * the model or these layers put it out. Needs `predictionLayers` of the model; false by default.
   */
  readonly prediction?: boolean;
  /** Rows of logits at most in one decode; as many as tokens by default. */
  readonly outputs?: number;
  /**
   * Notice a cancellation in the middle of a decode; true by default. llama.cpp then asks after every node of the
   * graph, which takes about as long as a node of a small model and a few tokens.
   */
  readonly interruptible?: boolean;
  /** Allow more tokens per sequence than the model was trained with. */
  readonly beyondTraining?: boolean;
  /** Who watches the computation. Watching costs time even if nothing is wanted. */
  readonly observers?: readonly Observer[];
}

/** Decodes batches of several sequences. Release it with `close`. */
export class ModelContext {
  readonly model: LoadedModel;
  /** Tokens that each sequence may have; llama.cpp rounds up to a multiple of 256. */
  readonly contextLength: number;
  readonly batchSize: number;
  /** Tokens computed at once. */
  readonly microBatchSize: number;
  /** Bytes of KV cache and activations. */
  readonly memoryUse: MemoryUse;
  readonly #observers: Observers | undefined;
  readonly #release: (() => void)[] = [];
  readonly #batch: BatchBuffers;
  readonly #threads: DecodeThreads;
  readonly #onClose: () => void;
  #address: Address;
  #logitsRows = 0;

  /** Use `Model.createContext`. */
  constructor(model: LoadedModel, modelAddress: Address, options: ContextOptions, onClose: () => void) {
    const { native, ffi, log, memory, space } = model.library;
    const sequences = options.sequences ?? 1;
    checkContextLength(model, options);
    this.model = model;
    this.#onClose = onClose;
    const tokens = options.contextLength * sequences;
    const threads = options.threads ?? defaultThreads();
    const params = {
      ...native.llama_context_default_params(),
      n_ctx: tokens,
      n_batch: Math.min(options.batchSize ?? 2048, tokens),
      n_ubatch: options.microBatchSize ?? 512,
      n_seq_max: sequences,
      n_threads: threads,
      n_threads_batch: threads,
      ctx_type: options.prediction ? C.contextType.prediction : C.contextType.trunk,
      type_k: traitsOf(options.keyCacheType ?? "F16").id,
      type_v: traitsOf(options.valueCacheType ?? "F16").id,
      ...(options.fusedAttention === false && { flash_attn_type: C.flashAttention.disabled }),
      swa_full: options.windowedCache !== true,
      kv_unified: options.sharedCache === true,
      n_outputs_max: options.outputs ?? 0,
      embeddings: options.pooling !== undefined,
      pooling_type: C.pooling[options.pooling ?? "unspecified"],
    };
    if (options.interruptible !== false) {
      const abort = registerCallback(ffi, "abort", () => this.#mustStop());
      this.#release.push(abort.release);
      params.abort_callback = abort.address;
    }
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
      for (const release of this.#release) {
        release();
      }
      throw contextFailure(model.path, tokens, log.since(mark));
    }
    this.#threads = new DecodeThreads(model, this.#address, {
      threads: options.threads,
      contextTokens: tokens,
      isWatched: this.#observers !== undefined,
    });
    this.memoryUse = model.options.measureOnly
      ? parsePlannedMemoryUse(log.since(mark))
      : parseMemoryUse(log.since(mark));
    this.contextLength = native.llama_n_ctx_seq(this.#address);
    this.batchSize = native.llama_n_batch(this.#address);
    this.microBatchSize = native.llama_n_ubatch(this.#address);
    this.#batch = new BatchBuffers(
      memory.allocate.bind(memory),
      this.batchSize,
      vectorBatchOf(model, options),
    );
  }

  /**
   * Computes a batch and returns the number of rows of logits.
   * Throws a UsageError if a sequence has no room left; a CancelledError; an EnvironmentError if llama.cpp fails.
   */
  decode(sequences: readonly SequenceTokens[]): number {
    const { native, log } = this.model.library;
    if (this.model.isCancelled()) {
      throw new CancelledError(`decoding with ${this.model.path} was stopped.`);
    }
    this.#logitsRows = this.#batch.fill(sequences);
    const mark = log.mark;
    log.step(`decoding with ${this.model.path}`);
    const { n_tokens } = this.#batch.struct;
    const status = this.#threads.measure(n_tokens, () =>
      native.llama_decode(this.#address, this.#batch.struct),
    );
    const failure = this.#observers?.failure;
    if (this.#observers) {
      this.#observers.failure = undefined;
    }
    if (failure) {
      throw failure.error;
    }
    // An evaluation callback that stops ends a part of the graph only, and the decode still reports success.
    if (status === C.decode.aborted || this.model.isCancelled()) {
      throw new CancelledError(`decoding with ${this.model.path} was stopped.`);
    }
    if (status === C.decode.noRoom) {
      throw new UsageError(
        `${this.model.path}: ${this.#batch.struct.n_tokens} more tokens do not fit in the context of ${this.contextLength} tokens per sequence; use a longer context.`,
      );
    }
    if (status !== C.decode.done) {
      throw new EnvironmentError(
        `${this.model.path}: llama.cpp failed to decode ${this.#batch.struct.n_tokens} tokens (status ${status}): ${explain(log.since(mark)) || "it gave no reason"}.`,
        { file: this.model.path, status },
      );
    }
    return this.#logitsRows;
  }

  /**
   * Logits of the last decode: rows of the vocabulary's size, in the order of the tokens that wanted them. A view
   * of native memory that the next decode overwrites.
   */
  logits(): Float32Array {
    const { native, memory } = this.model.library;
    const values = this.#logitsRows * this.model.facts.vocabularySize;
    if (values === 0) {
      return new Float32Array(0);
    }
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

  /**
   * Which of several layers that predict further tokens the next decodes compute, the first by default. Returns
   * whether the library can choose.
   */
  choosePredictionLayer(index: number): boolean {
    const choose = this.model.library.native.llama_set_nextn_layer_offset;
    choose?.(this.#address, index);
    return choose !== undefined;
  }

  /** Forgets a sequence's tokens from a position on. */
  truncate(sequence: number, position: number): void {
    const { native } = this.model.library;
    if (!native.llama_memory_seq_rm(native.llama_get_memory(this.#address), sequence, position, -1)) {
      throw new InternalError(`sequence ${sequence} of ${this.model.path} cannot be cut at ${position}.`);
    }
  }

  /**
   * Keeps no more than a sequence's first tokens, so that it can go on differently. Not every memory can be cut:
   * recurrent states are whole, and a window may have moved on from what the next token would look back at. Then
   * nothing is kept.
   * @returns tokens kept: `count` or 0
   */
  keepFirst(sequence: number, count: number): number {
    const { native } = this.model.library;
    const memory = native.llama_get_memory(this.#address);
    const oldestNeeded = Math.max(0, count - this.model.facts.attentionWindow);
    const windowed = this.model.facts.attentionWindow > 0;
    const isThere =
      count > 0 && (!windowed || native.llama_memory_seq_pos_min(memory, sequence) <= oldestNeeded);
    if (isThere && native.llama_memory_seq_rm(memory, sequence, count, -1)) {
      return count;
    }
    this.truncate(sequence, 0);
    return 0;
  }

  /**
   * Gives an empty sequence another one's first tokens, without computing or copying them: needs `sharedCache`, and
   * a model that is not recurrent.
   * @returns tokens that the target has then: `count` or 0
   */
  shareFirst(source: number, target: number, count: number): number {
    const { native } = this.model.library;
    native.llama_memory_seq_cp(native.llama_get_memory(this.#address), source, target, 0, count);
    return this.keepFirst(target, count);
  }

  /** How the vectors of a sequence's tokens become one; `none` if they do not. */
  get pooling(): keyof typeof C.pooling {
    const id = this.model.library.native.llama_pooling_type(this.#address);
    const names = Object.keys(C.pooling) as (keyof typeof C.pooling)[];
    return names.find((name) => C.pooling[name] === id) ?? "none";
  }

  /** Embedding of a sequence of the last decode: a view of native memory that the next decode overwrites. */
  embedding(sequence: number): Float32Array {
    const { native, memory } = this.model.library;
    const address = native.llama_get_embeddings_seq(this.#address, sequence);
    if (address === 0) {
      throw new InternalError(`sequence ${sequence} of ${this.model.path} has no embedding.`);
    }
    return new Float32Array(memory.view(address, 4 * this.model.facts.outputLength));
  }

  /** Releases the context; logits and activations seen in it become invalid. */
  close(): void {
    if (this.#address === 0) {
      return;
    }
    this.model.library.native.llama_free(this.#address);
    this.#address = 0;
    for (const release of this.#release) {
      release();
    }
    this.#batch.free();
    this.model.library.memory.forget();
    this.#onClose();
  }

  #mustStop(): boolean {
    return this.#observers?.failure !== undefined || this.model.isCancelled();
  }
}

function vectorBatchOf(
  { facts }: LoadedModel,
  { vectorInput, prediction }: ContextOptions,
): VectorBatch | undefined {
  if (prediction) {
    return { width: facts.outputLength, positions: 1, besideTokens: true };
  }
  return vectorInput ? { width: facts.embeddingLength, positions: facts.positionsPerToken } : undefined;
}

function checkContextLength(
  model: LoadedModel,
  { contextLength, sequences = 1, beyondTraining }: ContextOptions,
) {
  const trained = model.facts.trainedContextLength;
  const most = model.library.native.llama_max_parallel_sequences();
  if (!Number.isInteger(contextLength) || contextLength < 1) {
    throw new UsageError(`a context of ${contextLength} tokens is not possible; use at least 1.`);
  }
  if (!Number.isInteger(sequences) || sequences < 1 || sequences > most) {
    throw new UsageError(`${sequences} sequences at once are not possible; use 1 to ${most}.`);
  }
  if (contextLength > trained && trained > 0 && !beyondTraining) {
    throw new UsageError(
      `${model.path}: a context of ${contextLength} tokens is longer than the ${trained} that the model was trained with; use at most ${trained}.`,
      { contextLength, trained },
    );
  }
}
