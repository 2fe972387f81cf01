/**
 * A model that writes: takes any number of requests at once and computes them together (continuous batching), in
 * the engine's child process. If that process dies, the answers being written fail, and the model is loaded again.
 */
import { Engine, type RunningJob } from "../engine/engine.js";
import type { ModelFacts } from "../engine/facts.js";
import { describeModel } from "../engine/jobs.js";
import type { ModelOptions } from "../engine/model.js";
import { CancelledError } from "../errors.js";
import type { TypeName } from "../quants/types.js";
import { deserializeError } from "../serialized-error.js";
import {
  type ContextShape,
  contextOptions,
  defaultBatchTokens,
  defaultContextLength,
} from "./context-shape.js";
import type { Pooling } from "./embedder.js";
import { generateJob } from "./generate-job.js";
import { unpackPieces } from "./packed-pieces.js";
import { placeModel } from "./placed-model.js";
import { isTokens, type Prompt } from "./prompt.js";
import { PromptTokenizer } from "./prompt-tokenizer.js";
import type { GenerateEvent, GenerateMessage } from "./protocol.js";
import type {
  AnswerPiece,
  AnswerStart,
  Completion,
  Embedding,
  GenerateRequest,
  TokenLogprob,
} from "./request.js";
import type { VocabularyFacts } from "./tokenize-job.js";

/** How a model is set up to write. */
export interface GeneratorOptions {
  readonly model: ModelOptions;
  /** Answers written at once; 4 by default, as in llama-server. */
  readonly slots?: number | undefined;
  /** Tokens that each answer may have with its prompt; the model's, but no more than 4096, by default. */
  readonly contextLength?: number | undefined;
  /** Tokens computed at once; 512 by default. A cancellation waits for the end of a batch. */
  readonly batchSize?: number | undefined;
  /** Threads; the fastest number by default, up to one per physical core. */
  readonly threads?: number | undefined;
  /** Types of the KV cache; F16 by default. */
  readonly keyCacheType?: TypeName | undefined;
  readonly valueCacheType?: TypeName | undefined;
  /** How embeddings are made; as the model's file says by default. */
  readonly pooling?: Pooling | undefined;
  /** Bytes of graphics memory to use; what is free by default. */
  readonly gpuMemory?: number | undefined;
  /** Runs the model; one of its own by default. Other jobs of the same engine wait until the generator closes. */
  readonly engine?: Engine | undefined;
  /** Hears how far the loading of the model is, from 0 to 1. */
  readonly onLoad?: ((fraction: number) => void) | undefined;
  /** Hears what the user should know of how the model is run, a sentence. */
  readonly onNote?: ((note: string) => void) | undefined;
  /** Hears that the model's process has died. */
  readonly onCrash?: ((error: Error) => void) | undefined;
}

/** What one may want to hear of an answer while it is written. */
export interface GenerateControls {
  /** Stops the answer. */
  readonly signal?: AbortSignal | undefined;
  readonly onStart?: ((start: AnswerStart) => void) | undefined;
  readonly onPiece?: ((piece: AnswerPiece) => void) | undefined;
}

const defaultSlots = 4;

/** A request whose answer is awaited. */
interface Call {
  readonly message: GenerateMessage;
  readonly receive: (event: GenerateEvent | AnswerPiece) => void;
  readonly reject: (error: unknown) => void;
  isStarted: boolean;
}

/**
 * Writes answers. Keeps the program running until it is closed.
 *
 * `const generator = new Generator({ model: { path } });`
 * `const { text } = await generator.generate({ prompt: "1, 2, 3,", maxTokens: 8, sampling: greedy });`
 */
export class Generator {
  readonly #options: GeneratorOptions;
  readonly #engine: Engine;
  readonly #tokenizer: PromptTokenizer;
  readonly #calls = new Map<number, Call>();
  #model: Promise<ModelOptions> | undefined;
  #facts: Promise<ModelFacts> | undefined;
  #job: RunningJob<void, GenerateMessage> | undefined;
  #starting: Promise<void> | undefined;
  #nextId = 1;
  #isClosed = false;
  /** Stops the loading of the model. */
  readonly #loading = new AbortController();

  constructor(options: GeneratorOptions) {
    this.#options = options;
    this.#engine = options.engine ?? new Engine();
    this.#tokenizer = new PromptTokenizer(options.model.path);
  }

  /** Answers written at once. */
  get slots(): number {
    return this.#options.slots ?? defaultSlots;
  }

  /** Whether the model is loaded. */
  get isReady(): boolean {
    return this.#job !== undefined;
  }

  /** Whether its processes have answered in the last seconds. */
  get isResponsive(): boolean {
    return this.#engine.isResponsive && this.#tokenizer.isResponsive;
  }

  /** Process id of the model's process, if it runs. */
  get processId(): number | undefined {
    return this.#engine.processId;
  }

  /** What is known of the model; loads it. */
  facts(): Promise<ModelFacts> {
    this.#facts ??= this.#place()
      .then((model) => this.#engine.run(describeModel, { model }, this.#loadHooks()))
      .catch((error: unknown) => {
        this.#facts = undefined; // the next call tries again
        throw error;
      });
    return this.#facts;
  }

  /** Tokens that each answer may have with its prompt. */
  async contextLength(): Promise<number> {
    const { trainedContextLength } = await this.facts();
    return this.#contextFor(trainedContextLength);
  }

  #contextFor(trainedContextLength: number): number {
    return this.#options.contextLength ?? defaultContextLength(trainedContextLength);
  }

  /** The model with its place on graphics processors. */
  #place(): Promise<ModelOptions> {
    this.#model ??= this.#findPlace().catch((error: unknown) => {
      this.#model = undefined; // the next call tries again
      throw error;
    });
    return this.#model;
  }

  async #findPlace(): Promise<ModelOptions> {
    const { model, gpuMemory, onNote } = this.#options;
    const { signal } = this.#loading;
    const placed = await placeModel(
      this.#engine,
      model,
      (trained) => contextOptions(this.#shape(this.#contextFor(trained))),
      { gpuMemory, signal },
    );
    if (placed.note !== undefined) {
      onNote?.(placed.note);
    }
    return placed.model;
  }

  /** What the job's context is made of. */
  #shape(contextLength: number): ContextShape {
    const { slots } = this;
    const { threads, keyCacheType, valueCacheType, batchSize = defaultBatchTokens } = this.#options;
    return {
      slots,
      contextLength,
      batchSize: Math.max(slots, Math.min(batchSize, contextLength)),
      threads,
      keyCacheType,
      valueCacheType,
    };
  }

  /**
   * Waits until the model is loaded and answers can begin.
   * Throws what loading it or making the context throws.
   */
  async ready(): Promise<void> {
    if (this.#isClosed) {
      throw new CancelledError("the generator is closed.");
    }
    if (this.#job) {
      return;
    }
    this.#tokenizer.facts().catch(() => {}); // the first prompt tells
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined;
    });
    return this.#starting;
  }

  /** What is known of the model's vocabulary. */
  vocabulary(): Promise<VocabularyFacts> {
    return this.#tokenizer.facts();
  }

  /**
   * The tokens of a prompt.
   * Throws a UsageError if it is empty or cannot fit in the context; a CancelledError.
   */
  async tokenize(
    prompt: Prompt,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Promise<readonly number[]> {
    if (this.#isClosed) {
      throw new CancelledError("the generator is closed.");
    }
    if (isTokens(prompt)) {
      return prompt;
    }
    return this.#tokenizer.tokens(prompt, await this.contextLength(), signal);
  }

  /**
   * Writes one answer.
   * Throws a UsageError if the prompt is empty or does not fit; a CancelledError if `signal` stops it or the
   * generator closes; an EnvironmentError if the model's process dies meanwhile.
   */
  async generate(request: GenerateRequest, controls: GenerateControls = {}): Promise<Completion> {
    const answer = new Collected();
    const prompt = await this.tokenize(request.prompt, controls);
    const message = { type: "generate", id: this.#nextId++, request: { ...request, prompt } } as const;
    return this.#call(message, controls.signal, (event) => {
      if ("type" in event) {
        if (event.type !== "started") {
          return undefined;
        }
        answer.start(event);
        controls.onStart?.(event);
        return undefined;
      }
      controls.onPiece?.(event);
      return answer.add(event);
    });
  }

  /** Writes one answer, piece by piece; leaving the loop stops it. Throws what `generate` throws. */
  async *stream(
    request: GenerateRequest,
    controls: GenerateControls = {},
  ): AsyncGenerator<AnswerPiece, Completion, void> {
    const stop = new AbortController();
    const signal = controls.signal ? AbortSignal.any([controls.signal, stop.signal]) : stop.signal;
    let pieces: AnswerPiece[] = [];
    let wake = () => {};
    const onPiece = (piece: AnswerPiece) => {
      controls.onPiece?.(piece);
      pieces.push(piece);
      wake();
    };
    let isEnded = false;
    const completion = this.generate(request, { ...controls, signal, onPiece }).finally(() => {
      isEnded = true;
      wake();
    });
    completion.catch(() => {}); // awaited below, unless the loop is left
    try {
      while (!isEnded || pieces.length > 0) {
        const arrived = pieces;
        pieces = [];
        yield* arrived;
        if (pieces.length === 0 && !isEnded) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
      return await completion;
    } finally {
      stop.abort();
    }
  }

  /**
   * The vector of a text, of length 1.
   * Throws a UsageError if the model makes no embeddings, or the text is empty or too long.
   */
  async embed(input: Prompt, controls: { signal?: AbortSignal } = {}): Promise<Embedding> {
    const tokens = await this.tokenize(input, controls);
    return this.#call({ type: "embed", id: this.#nextId++, tokens }, controls.signal, (event) =>
      "type" in event && event.type === "embedded" ? event.embedding : undefined,
    );
  }

  /** Ends all answers with a CancelledError, and frees the model if the engine is the generator's own. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const job = this.#job;
    job?.send({ type: "close" });
    this.#rejectCalls(new CancelledError("the generator was closed."));
    const tokenizerClosed = this.#tokenizer.close();
    if (this.#options.engine === undefined) {
      await Promise.all([tokenizerClosed, this.#engine.close()]);
      return;
    }
    if (job === undefined) {
      this.#loading.abort();
    }
    await (job?.result ?? this.#starting)?.catch(() => {});
    await tokenizerClosed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Sends a request and hears what comes back for it, until `hear` gives a result. */
  #call<Result>(
    message: Extract<GenerateMessage, { id: number }>,
    signal: AbortSignal | undefined,
    hear: (event: GenerateEvent | AnswerPiece) => Result | undefined,
  ): Promise<Result> {
    const { id } = message;
    if (signal?.aborted || this.#isClosed) {
      return Promise.reject(new CancelledError("the answer was stopped before it began."));
    }
    return new Promise<Result>((resolve, reject) => {
      const cancel = () => {
        this.#job?.send({ type: "cancel", id });
        end();
        reject(new CancelledError("the answer was stopped."));
      };
      const end = () => {
        this.#calls.delete(id);
        signal?.removeEventListener("abort", cancel);
      };
      signal?.addEventListener("abort", cancel, { once: true });
      this.#calls.set(id, {
        message,
        isStarted: false,
        receive(event) {
          const result = hear(event);
          if (result === undefined) {
            return;
          }
          end();
          resolve(result);
        },
        reject(error) {
          end();
          reject(error);
        },
      });
      if (this.#job) {
        this.#job.send(message);
      } else {
        this.ready().catch((error: unknown) => this.#rejectCalls(error));
      }
    });
  }

  async #start(): Promise<void> {
    const contextLength = await this.contextLength();
    if (this.#isClosed) {
      throw new CancelledError("the generator was closed.");
    }
    const params = {
      model: await this.#place(),
      ...this.#shape(contextLength),
      pooling: this.#options.pooling,
    };
    const job = await new Promise<RunningJob<void, GenerateMessage>>((resolve, reject) => {
      const starting = this.#engine.start(generateJob, params, {
        ...this.#loadHooks(),
        onEvent: (event: GenerateEvent) =>
          event.type === "ready" ? resolve(starting) : this.#receive(event),
      });
      starting.result
        .then(() => Promise.reject(new CancelledError("the generator was closed.")))
        .catch((error: Error) => {
          reject(error);
          if (this.#job === starting) {
            this.#lose(error);
          }
        });
    });
    this.#job = job;
    for (const { message } of this.#calls.values()) {
      job.send(message);
    }
  }

  #loadHooks() {
    const { onLoad } = this.#options;
    const { signal } = this.#loading;
    return { signal, ...(onLoad && { onLoad: (_path: string, fraction: number) => onLoad(fraction) }) };
  }

  /** The job has ended: what had begun fails, what waits is sent again. */
  #lose(error: Error): void {
    this.#job = undefined;
    if (this.#isClosed) {
      return;
    }
    for (const call of [...this.#calls.values()]) {
      if (call.isStarted) {
        call.reject(error);
      }
    }
    this.#options.onCrash?.(error);
    if (this.#calls.size > 0) {
      this.ready().catch((reason: unknown) => this.#rejectCalls(reason));
    }
  }

  #rejectCalls(error: unknown): void {
    for (const call of [...this.#calls.values()]) {
      call.reject(error);
    }
  }

  #receive(event: GenerateEvent): void {
    if (event.type === "ready") {
      return;
    }
    if (event.type === "pieces") {
      for (const { id, piece } of unpackPieces(event)) {
        this.#calls.get(id)?.receive(piece);
      }
      return;
    }
    const call = this.#calls.get(event.id);
    if (event.type === "failed") {
      call?.reject(deserializeError(event.error));
    } else if (call) {
      call.isStarted = true;
      call.receive(event);
    }
  }
}

/** Puts the pieces of an answer together. */
class Collected {
  #start: AnswerStart = { promptTokens: 0, cachedTokens: 0 };
  #startedAt = 0;
  #firstPieceAt = 0;
  #text = "";
  readonly #tokens: number[] = [];
  readonly #logprobs: TokenLogprob[] = [];

  start({ promptTokens, cachedTokens }: AnswerStart): void {
    this.#start = { promptTokens, cachedTokens };
    this.#startedAt = performance.now();
  }

  /** Adds a piece; gives the whole with the last. */
  add({ text, tokens, logprobs, finish }: AnswerPiece): Completion | undefined {
    if (this.#firstPieceAt === 0) {
      this.#firstPieceAt = performance.now();
    }
    this.#text += text;
    this.#tokens.push(...tokens);
    this.#logprobs.push(...logprobs);
    if (!finish) {
      return undefined;
    }
    return {
      ...this.#start,
      text: this.#text,
      tokens: this.#tokens,
      logprobs: this.#logprobs,
      finishReason: finish.reason,
      completionTokens: finish.completionTokens,
      promptMs: this.#firstPieceAt - this.#startedAt,
      generationMs: finish.generationMs,
    };
  }
}
