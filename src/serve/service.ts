/** A model and who may use it when: what the routes share. */
import { randomUUID } from "node:crypto";
import type { ChatTemplate } from "../generate/chat-template.js";
import type { GenerateControls, Generator } from "../generate/generator.js";
import type { Completion, Embedding, GenerateRequest } from "../generate/request.js";
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
  /** Answers that may wait for their turn; more are refused. */
  readonly queueLength: number;
}

export class Service {
  readonly modelId: string;
  readonly metrics: Metrics;
  readonly startedAt = Math.floor(Date.now() / 1000);
  readonly #generator: Generator;
  readonly #template: ChatTemplate | Error;
  readonly #queue: FairQueue;
  readonly #stop = new AbortController();

  constructor({ generator, template, modelId, queueLength }: ServiceOptions) {
    this.modelId = modelId;
    this.#generator = generator;
    this.#template = template;
    // As many again as are being written wait in the engine, so that a free slot has its next answer at once.
    this.#queue = new FairQueue(2 * generator.slots, queueLength);
    this.metrics = new Metrics(this.#queue);
  }

  get generator(): Generator {
    return this.#generator;
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
      id: `${prefix}-${randomUUID().replaceAll("-", "")}`,
      created: Math.floor(Date.now() / 1000),
      model: this.modelId,
      system_fingerprint: `lopsided-${version}`,
    };
  }

  /**
   * The chat template.
   * @throws ApiError if the model has none
   */
  template(): ChatTemplate {
    if (this.#template instanceof Error)
      throw new ApiError(400, this.#template.message, { param: "messages" });
    return this.#template;
  }

  /**
   * Checks that a request can be admitted.
   * @param count answers that it needs
   * @throws ApiError if the model is another, the queue is full, or the server is stopping
   */
  checkAdmission(model: string | undefined, count: number): void {
    if (model !== undefined && model !== this.modelId)
      throw new ApiError(404, `the model "${model}" is not served here; ask for "${this.modelId}".`, {
        code: "model_not_found",
        param: "model",
      });
    if (this.isStopping) throw new ApiError(503, "the server is shutting down.", { code: "shutting_down" });
    if (!this.#queue.hasRoomFor(count))
      throw new ApiError(429, `${this.#queue.waiting} answers are waiting already; try again later.`, {
        type: "requests",
        code: "queue_full",
        retryAfter: 1 + Math.floor(this.#queue.waiting / (8 * this.#generator.slots)),
      });
  }

  /** Writes one answer when it is its turn. */
  answer(request: GenerateRequest, caller: Caller, controls: GenerateControls = {}): Promise<Completion> {
    const begin = performance.now();
    const seconds = () => (performance.now() - begin) / 1000;
    let hasPiece = false;
    return this.#admitted(caller, async () => {
      this.metrics.queueSeconds.observe(seconds());
      const completion = await this.#generator.generate(request, {
        ...controls,
        signal: caller.signal,
        onPiece: (piece) => {
          if (!hasPiece) this.metrics.firstTokenSeconds.observe(seconds());
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
  embed(input: string | number[], caller: Caller): Promise<Embedding> {
    return this.#admitted(caller, () => this.#generator.embed(input, { signal: caller.signal }));
  }

  async #admitted<T>({ client, signal }: Caller, work: () => Promise<T>): Promise<T> {
    // A stop of the server ends the waiting, not the work.
    await this.#queue.enter(client, AbortSignal.any([signal, this.#stop.signal]));
    try {
      return await work();
    } finally {
      this.#queue.leave();
    }
  }
}
