/** A model loaded by llama.cpp in this process: its facts, its tokenizer, its weights. */
import { CancelledError, InternalError } from "../errors.js";
import { type ContextOptions, ModelContext } from "./context.js";
import { keepExpertsOnHost } from "./expert-buffers.js";
import { type ModelFacts, readFacts } from "./facts.js";
import { loadFailure } from "./failures.js";
import { Grammar, TokenTable } from "./grammar.js";
import type { NativeLibrary } from "./library.js";
import { checkCacheFits, checkFitsMemory, findModelFiles } from "./limits.js";
import type { LogLine } from "./log.js";
import { type MemoryUse, parseMemoryUse } from "./memory-use.js";
import { type Address, C, registerCallback } from "./native.js";
import type { NativeTensor } from "./tensor.js";
import { stopsOnTiles } from "./tiles.js";
import { type TokenizeOptions, Tokenizer } from "./tokenizer.js";

/** llama.cpp rounds contexts up to multiples of this. */
const smallContext = 256;

/** How to load a model. */
export interface ModelOptions {
  /** A GGUF file, or the first of a split set. */
  readonly path: string;
  /** What to call it in messages; the path by default. */
  readonly name?: string;
  /** Layers to put on graphics processors, if there are any; all by default. */
  readonly gpuLayers?: number;
  /** The weights of routed experts of so many of the first layers stay in the machine's memory; 0 by default. */
  readonly hostExpertLayers?: number;
  /** Map the file into memory instead of reading it; true by default. */
  readonly memoryMap?: boolean;
  /**
   * Keep weights as they are in the file, in writable memory, so that they can be read and overwritten: no memory
   * map, and no rearranging for faster products.
   */
  readonly plainWeights?: boolean;
  /** Use weights where the mapped file has them: slower than rearranged ones, and no memory of their own. */
  readonly asStored?: boolean;
  /** Load the layers that predict further tokens (MTP) too; llama.cpp leaves them on the disk by default. */
  readonly predictionLayers?: boolean;
  /** Load only the tokenizer and the metadata. */
  readonly vocabularyOnly?: boolean;
  /**
   * Load nothing: only find out what memory the model and its contexts would take. It cannot decode. Needs a file
   * whose header is whole; the weights' bytes are not read.
   */
  readonly measureOnly?: boolean;
  /** Load although the weights are larger than the memory: the system then reads them again for every token. */
  readonly ignoreMemoryLimit?: boolean;
}

/** What the caller of a load can hear and say. */
export interface LoadHooks {
  /** From 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
  /** Asked often, also in the middle of a computation; true stops it with a CancelledError. */
  readonly isCancelled?: () => boolean;
}

/** A loaded model. Release it with `close`, after its contexts. */
export class Model {
  /** What to call it in messages. */
  readonly path: string;
  readonly facts: ModelFacts;
  /** Bytes of weights per kind of memory. */
  readonly memoryUse: MemoryUse;
  readonly options: ModelOptions;
  readonly library: NativeLibrary;
  readonly isCancelled: () => boolean;
  readonly #vocabulary: Address;
  readonly #tokenizer: Tokenizer;
  readonly #contexts = new Set<ModelContext>();
  #address: Address;
  #weights: ReadonlyMap<string, NativeTensor> | undefined;
  #tokenTable: TokenTable | undefined;

  private constructor(
    library: NativeLibrary,
    options: ModelOptions,
    hooks: LoadHooks,
    address: Address,
    memoryUse: MemoryUse,
  ) {
    this.library = library;
    this.path = options.name ?? options.path;
    this.options = options;
    this.isCancelled = hooks.isCancelled ?? (() => false);
    this.memoryUse = memoryUse;
    this.#address = address;
    this.#vocabulary = library.native.llama_model_get_vocab(address);
    this.facts = readFacts(library, this.path, address, this.#vocabulary);
    this.#tokenizer = new Tokenizer(library.native, this.#vocabulary, this.facts, this.isCancelled);
  }

  /**
   * Loads a model; blocks until it is loaded.
   * Throws an EnvironmentError if it cannot be read or does not fit in memory; a MalformedInputError if it is damaged
   * or of an unknown architecture; a CancelledError.
   */
  static load(library: NativeLibrary, options: ModelOptions, hooks: LoadHooks = {}): Model {
    const files = findModelFiles(options.path);
    if (!options.vocabularyOnly && !options.measureOnly && !options.ignoreMemoryLimit) {
      checkFitsMemory(options.path, files.byteLength, library.devices());
    }
    const { native, log } = library;
    const name = options.name ?? options.path;
    const isCancelled = hooks.isCancelled ?? (() => false);
    const progress = registerCallback(library.ffi, "progress", (fraction) => {
      hooks.onProgress?.(fraction);
      return !isCancelled();
    });
    const mark = log.mark;
    log.step(`loading ${name}`);
    const overrides = options.hostExpertLayers
      ? keepExpertsOnHost(library, options.hostExpertLayers)
      : undefined;
    try {
      const plain = options.plainWeights === true;
      const asStored =
        plain ||
        options.asStored === true ||
        (!options.vocabularyOnly && stopsOnTiles(library, options.path));
      const address = native.llama_model_load_from_file(options.path, {
        ...native.llama_model_default_params(),
        n_gpu_layers: options.gpuLayers ?? -1,
        tensor_buft_overrides: overrides?.address ?? 0,
        load_mode:
          plain || options.measureOnly || options.memoryMap === false ? C.loadMode.read : C.loadMode.map,
        no_alloc: options.measureOnly === true,
        use_extra_bufts: !asStored,
        vocab_only: options.vocabularyOnly === true,
        load_mtp: options.predictionLayers === true,
        progress_callback: progress.address,
      });
      const lines = log.since(mark);
      log.step(`working with ${name}`);
      if (address !== 0) {
        return Model.#adopt(library, options, hooks, address, lines);
      }
      if (isCancelled()) {
        throw new CancelledError(`loading ${name} was stopped.`);
      }
      throw loadFailure(name, files.byteLength, lines);
    } finally {
      progress.release();
      overrides?.free();
    }
  }

  static #adopt(
    library: NativeLibrary,
    options: ModelOptions,
    hooks: LoadHooks,
    address: Address,
    lines: readonly LogLine[],
  ): Model {
    try {
      return new Model(library, options, hooks, address, parseMemoryUse(lines));
    } catch (error) {
      library.native.llama_model_free(address);
      throw error;
    }
  }

  /**
   * Tokens of a text. Bytes are taken as they are; a string is encoded as UTF-8.
   * Throws a UsageError if there are more than llama.cpp can count, and a CancelledError.
   */
  tokenize(text: string | Uint8Array, options: TokenizeOptions = {}): Int32Array {
    this.library.log.step(`tokenizing for ${this.path}`);
    return this.#tokenizer.tokenize(text, options);
  }

  /** Texts of the control tokens, such as `<|im_end|>`. */
  controlTexts(): string[] {
    return this.#tokenizer.controlTexts();
  }

  /** Bytes of the longest token, at most. */
  longestTokenBytes(): number {
    return this.#tokenizer.longestTokenBytes();
  }

  /** Text of tokens; control tokens are written out if `special`. */
  detokenize(tokens: ArrayLike<number>, options: { special?: boolean } = {}): string {
    const ids = Int32Array.from(tokens);
    for (const id of ids) {
      if (id < 0 || id >= this.facts.vocabularySize) {
        throw new InternalError(`token ${id} is not in the vocabulary of ${this.facts.vocabularySize}.`);
      }
    }
    const write = (text: Uint8Array) =>
      this.library.native.llama_detokenize(
        this.#vocabulary,
        ids,
        ids.length,
        text,
        text.length,
        false,
        options.special ?? false,
      );
    let text = new Uint8Array(16 + 8 * ids.length);
    let length = write(text);
    if (length < 0) {
      text = new Uint8Array(-length);
      length = write(text);
    }
    return new TextDecoder().decode(text.subarray(0, length));
  }

  /**
   * Bytes of one token, which may be a part of a character; none for a control token unless `special`.
   */
  tokenBytes(token: number, options: { special?: boolean } = {}): Uint8Array {
    const write = (bytes: Uint8Array) =>
      this.library.native.llama_token_to_piece(
        this.#vocabulary,
        token,
        bytes,
        bytes.length,
        0,
        options.special ?? false,
      );
    const bytes = new Uint8Array(64);
    const length = write(bytes);
    if (length >= 0) {
      return bytes.subarray(0, length);
    }
    const longer = new Uint8Array(-length);
    return longer.subarray(0, write(longer));
  }

  /** Whether a token ends a generated answer. */
  endsGeneration(token: number): boolean {
    return this.library.native.llama_vocab_is_eog(this.#vocabulary, token);
  }

  /**
   * A grammar that answers are to follow.
   * @param gbnf rules in llama.cpp's notation; `root` is the whole answer. Their size must have been checked:
   *   llama.cpp bounds neither nesting nor repetition by what memory allows.
   * Throws a UsageError if they are not valid.
   */
  createGrammar(gbnf: string): Grammar {
    this.library.log.step(`reading a grammar for ${this.path}`);
    this.#tokenTable ??= new TokenTable(this.library, this.facts.vocabularySize);
    return new Grammar(this.library, this.#vocabulary, this.#tokenTable, gbnf);
  }

  /**
   * A context to decode in.
   * Throws a UsageError for a context longer than the model's; an EnvironmentError if memory does not suffice.
   */
  createContext(options: ContextOptions): ModelContext {
    if (!this.options.measureOnly) {
      this.#checkCacheFits(options);
    }
    return this.#openContext(options);
  }

  #openContext(options: ContextOptions): ModelContext {
    const context = new ModelContext(this, this.#address, options, () => this.#contexts.delete(context));
    this.#contexts.add(context);
    return context;
  }

  /**
   * The weights in memory by name: all those that the computation of a token uses. Their bytes can be read if the
   * model was loaded with `plainWeights`.
   */
  weights(): ReadonlyMap<string, NativeTensor> {
    this.#weights ??= this.#findWeights();
    return this.#weights;
  }

  /**
   * Overwrites a weight, in its own type and layout, for all later decodes.
   * @param offset bytes from the beginning of the tensor
   */
  writeWeight(name: string, bytes: Uint8Array, offset = 0): void {
    const tensor = this.weights().get(name);
    if (!tensor) {
      throw new InternalError(`${this.path} has no weight "${name}" in use.`);
    }
    if (!this.options.plainWeights) {
      throw new InternalError(`"${name}" cannot be overwritten: load ${this.path} with plainWeights.`);
    }
    if (offset + bytes.length > tensor.byteLength) {
      throw new InternalError(
        `"${name}" has ${tensor.byteLength} bytes; ${bytes.length} at ${offset} do not fit.`,
      );
    }
    this.library.native.ggml_backend_tensor_set(tensor.address, bytes, offset, bytes.length);
  }

  get isClosed(): boolean {
    return this.#address === 0;
  }

  /** Releases the model and its contexts. */
  close(): void {
    if (this.#address === 0) {
      return;
    }
    for (const context of [...this.#contexts]) {
      context.close();
    }
    this.library.native.llama_model_free(this.#address);
    this.#address = 0;
    this.#tokenTable?.free();
    this.#tokenTable = undefined;
    this.#weights = undefined;
    this.library.space.forget();
  }

  /**
   * Refuses a KV cache that cannot fit: llama.cpp would promise the memory, and the system would kill the process
   * when the cache is filled. Its size is proportional to the tokens, so that of a small context tells it exactly,
   * whatever the architecture's attention is.
   */
  #checkCacheFits(options: ContextOptions): void {
    const { contextLength, sequences = 1 } = options;
    const tokens = contextLength * sequences;
    if (tokens <= smallContext * 64 || this.options.ignoreMemoryLimit) {
      return;
    }
    const { observers: _, ...unobserved } = options;
    const small = this.#openContext({
      ...unobserved,
      contextLength: smallContext,
      sequences: 1,
      batchSize: 1,
      microBatchSize: 1,
    });
    const bytesPerToken = small.memoryUse.cacheBytes / smallContext;
    small.close();
    checkCacheFits(this.path, { tokens, bytesPerToken, devices: this.library.devices() });
  }

  /**
   * llama.cpp has no C function that lists its tensors, but the graph of one token names all that take part. It is
   * looked at through the evaluation callback and computed once.
   */
  #findWeights(): ReadonlyMap<string, NativeTensor> {
    const weights = new Map<string, NativeTensor>();
    const context = this.#openContext({
      contextLength: smallContext,
      batchSize: 1,
      microBatchSize: 1,
      threads: 1,
      observers: [
        {
          wants(node) {
            for (let index = 0; index < C.maxSourcesPerTensor; index++) {
              const source = node.source(index);
              if (source?.isWeight) {
                weights.set(source.name, source);
              }
            }
            return false;
          },
          observe() {},
        },
      ],
    });
    try {
      context.decode([{ sequence: 0, position: 0, tokens: [Math.max(0, this.facts.bosToken)] }]);
    } finally {
      context.close();
    }
    return weights;
  }
}
