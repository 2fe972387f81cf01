/** Sets the number of threads of a context's decodes: the one that was given, or what a tuner finds by measuring. */
import type { LoadedModel } from "./loaded-model.js";
import type { Address } from "./native.js";
import { defaultThreads } from "./threads.js";

/**
 * Keys from which on llama.cpp's attention cuts those of a single token into one part per thread
 * (`ggml_compute_forward_flash_attn_ext_f16`). Everything else comes out the same to the bit with any number.
 */
const splitKeys = 512;

export interface DecodeThreadsOptions {
  /** Threads that were asked for; they stay. */
  readonly threads: number | undefined;
  /** Tokens of all sequences. */
  readonly contextTokens: number;
  readonly isWatched: boolean;
}

/** The threads of one context. */
export class DecodeThreads {
  readonly #model: LoadedModel;
  readonly #context: Address;
  readonly #isTuned: boolean;
  readonly #isWatched: boolean;
  /** Threads for single tokens where the result depends on them. */
  readonly #single: number | undefined;
  #now: number;

  constructor(
    model: LoadedModel,
    context: Address,
    { threads, contextTokens, isWatched }: DecodeThreadsOptions,
  ) {
    this.#model = model;
    this.#context = context;
    this.#isWatched = isWatched;
    this.#isTuned = threads === undefined && !computesOnGpu(model);
    this.#single = contextTokens < splitKeys ? undefined : (threads ?? defaultThreads());
    this.#now = threads ?? defaultThreads();
  }

  /** Runs a decode of so many tokens and learns from the time it takes. */
  measure<T>(tokens: number, decode: () => T): T {
    if (!this.#isTuned || (tokens === 1 && this.#single !== undefined)) {
      return decode();
    }
    const { facts, library } = this.#model;
    const { weightsBytes } = facts;
    const tuner = library.threadTuners.of({ weightsBytes, tokens, isWatched: this.#isWatched });
    if (tuner.threads !== this.#now) {
      this.#now = tuner.threads;
      library.native.llama_set_n_threads(this.#context, this.#single ?? this.#now, this.#now);
    }
    const begin = performance.now();
    const result = decode();
    tuner.record(tokens, performance.now() - begin);
    return result;
  }
}

/** Threads matter little then, and a decode returns before it is computed. */
function computesOnGpu({ library, options }: LoadedModel): boolean {
  return options.gpuLayers !== 0 && library.devices().some(({ kind }) => /gpu/.test(kind));
}
