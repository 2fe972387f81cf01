/** A model and who may use it when: what the routes share. */
import { randomUUID } from "node:crypto";
import type { ChatTemplate, ChatToRender } from "../generate/chat-template.js";
import type { GenerateControls, Generator } from "../generate/generator.js";
import { LiteralText } from "../generate/literal-text.js";
import { checkFits, isTokens, type Prompt } from "../generate/prompt.js";
import { renderChat } from "../generate/render-chat.js";
import type { Completion, Embedding, GenerateRequest } from "../generate/request.js";
import type { SamplingOptions } from "../generate/sampler.js";
import { version } from "../version.js";
import { ApiError } from "./errors.js";
import { FairQueue } from "./fair-queue.js";
import { Metrics } from "./metrics.js";

/** What a client is known by, and whether it is still there. */
export interface Caller {
  readonly client: string;
  readonly signal: AbortSignal;
}

export interface ServiceOptions {
  readonly generator: Generator;
  /** Undefined if the model has no chat template; then why. */
  readonly template: ChatTemplate | Error;
  /** Name under which the model is offered. */
  readonly modelId: string;
  /** How tokens are chosen for requests that do not say. */
  readonly sampling?: Partial<SamplingOptions> | undefined;
  /** Answers that may wait for their turn; more are refused. */
  readonly queueLength: number;
}

/** Characters of prompts that are tokenized without waiting for longer ones. */
const shortLength = 65_536;

export class Service {
  readonly modelId: string;
  readonly metrics: Metrics;
  readonly startedAt = Math.floor(Date.now() / 1000);
  readonly #generator: Generator;
  readonly #template: ChatTemplate | Error;
  readonly #sampling: Partial<SamplingOptions>;
  readonly #mostAdmitted: number;
  /** Of one client: the last quarter of the queue is for the others. */
  readonly #mostOfOne: number;
  readonly #answering: FairQueue;
  /** Conversations are rendered one at a time, and clients take turns there, too; so with prompts to tokenize. */
  readonly #rendering: FairQueue;
  readonly #tokenizing: { readonly short: FairQueue; readonly long: FairQueue };
  readonly #stop = new AbortController();
  #admitted = 0;
  readonly #admittedOf = new Map<string, number>();

  constructor({ generator, template, modelId, sampling = {}, queueLength }: ServiceOptions) {
    this.modelId = modelId;
    this.#generator = generator;
    this.#template = template;
    this.#sampling = sampling;
    // As many again as are being written wait in the engine, so that a free slot has its next answer at once.
    const capacity = 2 * generator.slots;
    this.#mostAdmitted = capacity + queueLength;
    this.#mostOfOne = capacity + Math.ceil((3 * queueLength) / 4);
    this.#answering = new FairQueue(capacity);
    this.#rendering = new FairQueue(1);
    this.#tokenizing = { short: new FairQueue(1), long: new FairQueue(1) };
    this.metrics = new Metrics(this.#answering);
  }

  get generator(): Generator {
    return this.#generator;
  }

  /** The chat template's source text; empty if the model has none. */
  get templateText(): string {
    return this.#template instanceof Error ? "" : this.#template.text;
  }

  /** Throws an ApiError unless a model is the one that is served. */
  checkModel(model: string): void {
    if (model !== this.modelId) {
      throw new ApiError(
        404,
        `the model "${model.slice(0, 200)}" is not served here; ask for "${this.modelId}".`,
        {
          code: "model_not_found",
          param: "model",
        },
      );
    }
  }

  /** No further answers begin; those that are waiting are refused. */
  stopAdmitting(): void {
    this.#stop.abort();
  }

  get isStopping(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Fields that every response has. */
  envelope(prefix: string): { id: string; created: number; model: string; system_fingerprint: string } {
    return {
      id: newId(prefix),
      created: Math.floor(Date.now() / 1000),
      model: this.modelId,
      system_fingerprint: `lopsided-${version}`,
    };
  }

  /**
   * Takes a client's request in, with the number of answers that it needs, and says how to let it go; which may be
   * done twice. Throws an ApiError if too many wait, of all clients or of this one, the engine does not answer, or the server is stopping.
   */
  admit(count: number, { client }: Caller): () => void {
    if (this.isStopping) {
      throw new ApiError(503, "the server is shutting down.", { code: "shutting_down" });
    }
    if (!this.#generator.isResponsive) {
      throw new ApiError(503, "the model's process does not answer; try again later.", {
        code: "engine_unresponsive",
        retryAfter: 5,
      });
    }
    const own = this.#admittedOf.get(client) ?? 0;
    if (this.#admitted + count > this.#mostAdmitted || own + count > this.#mostOfOne) {
      throw new ApiError(
        429,
        `${this.#admitted} answers are waiting or being written already, ${own} of them for this client; try again later.`,
        {
          type: "requests",
          code: "queue_full",
          retryAfter: 1 + Math.floor(this.#admitted / (8 * this.#generator.slots)),
        },
      );
    }
    this.#countAdmitted(client, count);
    let isAdmitted = true;
    return () => {
      if (isAdmitted) {
        this.#countAdmitted(client, -count);
      }
      isAdmitted = false;
    };
  }

  #countAdmitted(client: string, count: number): void {
    this.#admitted += count;
    const own = (this.#admittedOf.get(client) ?? 0) + count;
    if (own > 0) {
      this.#admittedOf.set(client, own);
    } else {
      this.#admittedOf.delete(client);
    }
  }

  /**
   * The tokens of a conversation's prompt, and its text. Control tokens that messages spell out are text, unless
   * `parseSpecial`.
   * Throws an ApiError if the model has no chat template, and what rendering and tokenizing throw.
   */
  async chatPrompt(
    chat: ChatToRender,
    caller: Caller,
    { parseSpecial = false, continuation = "" } = {},
  ): Promise<{ tokens: readonly number[]; text: string }> {
    const template = this.#template;
    if (template instanceof Error) {
      throw new ApiError(400, template.message, { param: "messages" }, { cause: template });
    }
    const { controlTexts } = await this.#generator.vocabulary();
    const literal = new LiteralText(parseSpecial ? [] : controlTexts);
    const prompt = await this.#inTurn(this.#rendering, caller, () =>
      renderChat(template, chat, { literal, continuation, signal: caller.signal }),
    );
    return { tokens: await this.textPrompt(prompt, caller), text: prompt.text };
  }

  /** The tokens of a prompt. Throws a UsageError if it does not fit, and what tokenizing throws. */
  async textPrompt(prompt: Prompt, caller: Caller): Promise<readonly number[]> {
    const tokens = await this.tokenize(prompt, caller);
    checkFits(tokens, await this.#generator.contextLength());
    return tokens;
  }

  /** The tokens of a text of any use. */
  async tokenize(prompt: Prompt, caller: Caller): Promise<readonly number[]> {
    if (isTokens(prompt)) {
      return prompt;
    }
    const { length } = typeof prompt === "string" ? prompt : prompt.text;
    const queue = length > shortLength ? this.#tokenizing.long : this.#tokenizing.short;
    return this.#inTurn(queue, caller, () => this.#generator.tokenize(prompt, { signal: caller.signal }));
  }

  /** Writes one answer when it is its turn. */
  answer(request: GenerateRequest, caller: Caller, controls: GenerateControls = {}): Promise<Completion> {
    const begin = performance.now();
    const seconds = () => (performance.now() - begin) / 1000;
    let hasPiece = false;
    return this.#inTurn(this.#answering, caller, async () => {
      this.metrics.queueSeconds.observe(seconds());
      const sampling = { ...this.#sampling, ...request.sampling };
      const asked = { ...request, sampling, client: caller.client };
      const completion = await this.#generator.generate(asked, {
        ...controls,
        signal: caller.signal,
        onPiece: (piece) => {
          if (!hasPiece) {
            this.metrics.firstTokenSeconds.observe(seconds());
          }
          hasPiece = true;
          controls.onPiece?.(piece);
        },
      });
      this.metrics.answerSeconds.observe(seconds());
      this.metrics.promptTokens.inc(completion.promptTokens);
      this.metrics.cachedTokens.inc(completion.cachedTokens);
      this.metrics.completionTokens.inc(completion.completionTokens);
      return completion;
    });
  }

  /** Makes one embedding when it is its turn. */
  async embed(input: Prompt, caller: Caller): Promise<Embedding> {
    const tokens = await this.tokenize(input, caller);
    return this.#inTurn(this.#answering, caller, () =>
      this.#generator.embed(tokens, { signal: caller.signal }),
    );
  }

  async #inTurn<T>(queue: FairQueue, { client, signal }: Caller, work: () => Promise<T>): Promise<T> {
    // A stop of the server ends the waiting, not the work.
    await queue.enter(client, AbortSignal.any([signal, this.#stop.signal]));
    try {
      return await work();
    } finally {
      queue.leave(client);
    }
  }
}

/** A name that nothing else has. */
export function newId(prefix: string): string {
  return `${prefix}-${randomUUID().replaceAll("-", "")}`;
}
