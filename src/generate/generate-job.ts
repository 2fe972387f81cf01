/** The job that writes answers: lives as long as its generator, takes requests between batches. */
import type { ModelContext } from "../engine/context.js";
import { defineJob, type JobHost } from "../engine/job.js";
import { readsModel } from "../engine/job-files.js";
import type { Model, ModelOptions } from "../engine/model.js";
import { CancelledError } from "../errors.js";
import { serializeError } from "../serialized-error.js";
import { Answer } from "./answer.js";
import { type ContextShape, contextOptions } from "./context-shape.js";
import { Embedder, type Pooling } from "./embedder.js";
import { Constraint, type GrammarModel } from "./grammar/constraint.js";
import { Outbox } from "./outbox.js";
import { checkFits, checkTokens } from "./prompt.js";
import type { GenerateEvent, GenerateMessage, TokenizedRequest } from "./protocol.js";
import { Scheduler } from "./scheduler.js";
import { grammarModelOf, type Vocabulary, vocabularyOf } from "./vocabulary.js";

export interface GenerateParams extends ContextShape {
  readonly model: ModelOptions;
  readonly pooling?: Pooling | undefined;
}

type Host = JobHost<GenerateEvent, GenerateMessage>;

/** Writes answers until it is told to close. */
export const generateJob = defineJob(
  import.meta.url,
  "generateJob",
  ({ model }) => readsModel(model),
  (params: GenerateParams, host: Host): void => {
    const model = host.model(params.model);
    const context = model.createContext(contextOptions(params));
    const writer = new Writer(model, context, params, host);
    try {
      host.emit({ type: "ready", contextLength: params.contextLength });
      writer.run();
    } finally {
      writer.close();
      context.close();
    }
  },
);

class Writer {
  readonly #model: Model;
  readonly #params: GenerateParams;
  readonly #host: Host;
  readonly #scheduler: Scheduler;
  readonly #vocabulary: Vocabulary;
  readonly #grammarModel: GrammarModel;
  readonly #embedder: Embedder;
  readonly #outbox: Outbox;
  #isClosing = false;

  constructor(model: Model, context: ModelContext, params: GenerateParams, host: Host) {
    this.#model = model;
    this.#params = params;
    this.#host = host;
    this.#vocabulary = vocabularyOf(model);
    this.#grammarModel = grammarModelOf(model);
    this.#outbox = new Outbox(host.emit);
    this.#embedder = new Embedder(model, params);
    const { slots, contextLength } = params;
    const { vocabularySize, isRecurrent } = model.facts;
    const batchSize = Math.min(params.batchSize, context.batchSize);
    this.#scheduler = new Scheduler(
      context,
      { slots, contextLength, batchSize, vocabularySize, canShare: !isRecurrent },
      {
        onStart: ({ id, promptTokens }, cachedTokens) =>
          host.emit({ type: "started", id, promptTokens: promptTokens.length, cachedTokens }),
        onPiece: ({ id }, piece) => this.#outbox.add(id, piece),
        onFailure: ({ id }, error) => host.emit({ type: "failed", id, error: serializeError(error) }),
      },
    );
  }

  run(): void {
    while (!this.#isClosing) {
      if (this.#scheduler.isIdle) {
        this.#host.waitForMessage();
      }
      if (this.#host.isCancelled()) {
        throw new CancelledError("the model's work was stopped.");
      }
      for (let next = this.#host.receive(); next; next = this.#host.receive()) {
        this.#take(next);
      }
      this.#scheduler.step();
      this.#outbox.flush();
    }
  }

  /** Gives up all answers. */
  close(): void {
    this.#scheduler.close();
  }

  #take(message: GenerateMessage): void {
    if (message.type === "close") {
      this.#isClosing = true;
    } else if (message.type === "cancel") {
      this.#scheduler.cancel(message.id);
    } else {
      const { id } = message;
      try {
        if (message.type === "generate") {
          this.#scheduler.add(this.#prepare(id, message.request));
        } else {
          this.#host.emit({ type: "embedded", id, embedding: this.#embedder.embed(message.tokens) });
        }
      } catch (error) {
        if (error instanceof CancelledError) {
          throw error;
        }
        this.#host.emit({ type: "failed", id, error: serializeError(error) });
      }
    }
  }

  #prepare(id: number, request: TokenizedRequest): Answer {
    const tokens = request.prompt;
    checkTokens(tokens, this.#model.facts.vocabularySize);
    checkFits(tokens, this.#params.contextLength);
    const { grammar } = request;
    const constraint = grammar && new Constraint(this.#grammarModel, grammar);
    return new Answer(id, request, tokens, this.#vocabulary, constraint);
  }
}
