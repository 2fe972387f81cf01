/** Small jobs that need no knowledge of what the model is used for. */
import type { ModelFacts } from "./facts.js";
import { defineJob, type JobHost } from "./job.js";
import { readsModel } from "./job-files.js";
import type { ModelOptions } from "./model.js";
import type { TokenizeOptions } from "./tokenizer.js";

/** A model's facts. */
export const describeModel = defineJob(
  import.meta.url,
  "describeModel",
  ({ model }) => readsModel(model),
  (params: { model: ModelOptions }, host: JobHost): ModelFacts => host.model(params.model).facts,
);

/** A text's tokens. */
export const tokenizeText = defineJob(
  import.meta.url,
  "tokenizeText",
  ({ model }) => readsModel(model),
  (
    params: { model: ModelOptions; text: string | Uint8Array; options?: TokenizeOptions },
    host: JobHost,
  ): Int32Array => host.model(params.model).tokenize(params.text, params.options),
);

/** Tokens' text. */
export const detokenizeTokens = defineJob(
  import.meta.url,
  "detokenizeTokens",
  ({ model }) => readsModel(model),
  (params: { model: ModelOptions; tokens: Int32Array; special?: boolean }, host: JobHost): string =>
    host.model(params.model).detokenize(params.tokens, { special: params.special ?? false }),
);

/** Logits of the token that follows a sequence, or of every position: rows of the vocabulary's size. */
export const computeLogits = defineJob(
  import.meta.url,
  "computeLogits",
  ({ model }) => readsModel(model),
  (
    params: {
      model: ModelOptions;
      tokens: ArrayLike<number>;
      everyPosition?: boolean;
      threads?: number;
      /** Tokens computed at a time; all by default. */
      microBatchSize?: number;
    },
    host: JobHost,
  ): Float32Array => {
    const { tokens, threads, microBatchSize } = params;
    const context = host.model(params.model).createContext({
      contextLength: tokens.length,
      batchSize: tokens.length,
      ...(microBatchSize === undefined ? {} : { microBatchSize }),
      ...(threads === undefined ? {} : { threads }),
    });
    try {
      const logitsFrom = params.everyPosition ? 0 : tokens.length - 1;
      context.decode([{ sequence: 0, position: 0, tokens, logitsFrom }]);
      return context.logits().slice();
    } finally {
      context.close();
    }
  },
);
