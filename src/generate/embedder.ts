/** Vectors for texts. */
import type { ModelContext } from "../engine/context.js";
import type { Model } from "../engine/model.js";
import { UsageError } from "../errors.js";
import { checkTokens } from "./prompt.js";
import type { Embedding } from "./request.js";

/** How the vectors of a text's tokens become one. */
export type Pooling = "mean" | "cls" | "last";

/** Tokens of a text at most: the logits of all of them are computed along with the vectors, and held in memory. */
const mostTokens = 2048;

interface EmbedderOptions {
  /** Tokens of a text at most; no more than 2048 in any case. */
  readonly contextLength: number;
  readonly threads?: number | undefined;
  /** As the model's file says by default. */
  readonly pooling?: Pooling | undefined;
}

/** Computes embeddings in a context of its own, made when the first one is wanted. */
export class Embedder {
  readonly #model: Model;
  readonly #options: EmbedderOptions;
  #context: ModelContext | undefined;

  constructor(model: Model, options: EmbedderOptions) {
    this.#model = model;
    this.#options = options;
  }

  /**
   * The vector of a text, of length 1.
   * Throws a UsageError if the model makes no embeddings, or the text is too long.
   */
  embed(tokens: readonly number[]): Embedding {
    this.#context ??= this.#open();
    const context = this.#context;
    checkTokens(tokens, this.#model.facts.vocabularySize);
    if (tokens.length > context.batchSize) {
      throw new UsageError(
        `the input has ${tokens.length} tokens, but embeddings are made of ${context.batchSize} at most; split it.`,
        { reason: "context-length", promptTokens: tokens.length, contextLength: context.batchSize },
      );
    }
    context.clear();
    context.decode([{ sequence: 0, position: 0, tokens, logitsFrom: 0 }]);
    context.synchronize();
    return { vector: normalize(context.embedding(0)), tokens: tokens.length };
  }

  #open(): ModelContext {
    const { contextLength, threads, pooling = "unspecified" } = this.#options;
    const most = Math.min(contextLength, mostTokens);
    const context = this.#model.createContext({
      contextLength: most,
      batchSize: most,
      microBatchSize: most,
      pooling,
      ...(threads === undefined ? {} : { threads }),
    });
    if (context.pooling !== "none" && context.pooling !== "rank") {
      return context;
    }
    context.close();
    throw new UsageError(
      `${this.#model.path} is not made for embeddings (its file names no pooling); choose one with \`pooling\` mean, cls or last.`,
      { reason: "no-embeddings" },
    );
  }
}

/** A copy of length 1. */
function normalize(vector: Float32Array): Float32Array {
  let squares = 0;
  for (const value of vector) {
    squares += value * value;
  }
  const length = Math.sqrt(squares);
  return length > 0 ? vector.map((value) => value / length) : vector.slice();
}
