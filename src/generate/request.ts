/** What is asked of a model that writes, and what it answers: the types that both processes know. */
import type { AnswerGrammar } from "./grammar/constraint.js";
import type { Prompt } from "./prompt.js";
import type { SamplingOptions } from "./sampler.js";

/** A text to go on with. */
export interface GenerateRequest {
  /** Whose request it is: clients who wait for slots get as many as the others. Who is not named is one client. */
  readonly client?: string | undefined;
  /** What comes before the answer. */
  readonly prompt: Prompt;
  /** Tokens at most; until the context is full by default. */
  readonly maxTokens?: number | undefined;
  /** Strings that end the answer and are not part of it. */
  readonly stop?: readonly string[] | undefined;
  /** What differs from `samplingDefaults`; `greedy` always takes the likeliest token. */
  readonly sampling?: Partial<SamplingOptions> | undefined;
  /** Control tokens that are part of the answer's text, by theirs; none by default. */
  readonly visibleTokens?: readonly string[] | undefined;
  /** Rules that the answer follows, as a whole or from a trigger on; see `schemaToGrammar` for those of a JSON Schema. */
  readonly grammar?: AnswerGrammar | undefined;
  /** Give each token's log-probability and those of this many likeliest tokens in its place; not by default. */
  readonly logprobs?: number | undefined;
  /** Go on after tokens that end an answer; for measurements. */
  readonly ignoreEnd?: boolean | undefined;
}

/** Sampling that always takes the likeliest token. */
export const greedy: Partial<SamplingOptions> = { temperature: 0 };

/** A token's part in the text and its probability. */
export interface TokenLogprob {
  readonly token: number;
  /** Its bytes, which may be a part of a character. */
  readonly bytes: Uint8Array;
  readonly logprob: number;
  /** The likeliest tokens in its place, the likeliest first. */
  readonly top: readonly { readonly token: number; readonly bytes: Uint8Array; readonly logprob: number }[];
}

/** Why an answer ended: a token or string that ends it, or no more room. */
export type FinishReason = "stop" | "length";

/** How an answer came about. */
export interface AnswerFinish {
  readonly reason: FinishReason;
  readonly completionTokens: number;
  /** From the first token's computation on to the last one's, in milliseconds. */
  readonly generationMs: number;
}

/** The next part of an answer: the text that has become certain with a token. */
export interface AnswerPiece {
  readonly text: string;
  /** The tokens computed; their text may come with a later piece. */
  readonly tokens: readonly number[];
  /** Of the tokens whose text this is, if wanted. */
  readonly logprobs: readonly TokenLogprob[];
  /** With the last piece. */
  readonly finish?: AnswerFinish | undefined;
}

/** What is known of a request when its computation begins. */
export interface AnswerStart {
  readonly promptTokens: number;
  /** Of these, tokens that an earlier request had computed. */
  readonly cachedTokens: number;
}

/** A whole answer. */
export interface Completion extends AnswerStart {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly logprobs: readonly TokenLogprob[];
  readonly finishReason: FinishReason;
  readonly completionTokens: number;
  /** From the beginning of the prompt's computation to the first token, in milliseconds. */
  readonly promptMs: number;
  readonly generationMs: number;
}

/** A vector for a text. */
export interface Embedding {
  readonly vector: Float32Array;
  readonly tokens: number;
}
