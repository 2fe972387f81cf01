/** What a model is to go on with, and its tokens. */
import type { Model } from "../engine/model.js";
import { UsageError } from "../errors.js";

/** A text whose control tokens need not all be meant as such. */
export interface PromptText {
  readonly text: string;
  /** Read control tokens such as `<|im_start|>` as such; true by default. */
  readonly parseSpecial?: boolean | undefined;
  /** A character that keeps control tokens from being read as such, and is no part of the text. See literal-text.ts. */
  readonly mark?: string | undefined;
}

/**
 * A text or its tokens. Control tokens in a plain string are read as such; a token that begins every text (BOS) is
 * added if the vocabulary wants it and the text has none.
 */
export type Prompt = string | readonly number[] | PromptText;

/** Whether a prompt is tokens already. */
export function isTokens(prompt: Prompt): prompt is readonly number[] {
  return Array.isArray(prompt);
}

/**
 * Tokens of a text. BOS is not doubled.
 * Throws a UsageError if there are none, and a CancelledError.
 */
export function textTokens(model: Model, { text, parseSpecial = true, mark }: PromptText): number[] {
  const { bosToken, eosToken, addsEos } = model.facts;
  const tokens = [...model.tokenize(text, { parseSpecial, ...(mark === undefined ? {} : { mark }) })];
  if (bosToken >= 0 && tokens[0] === bosToken && tokens[1] === bosToken) {
    tokens.shift();
  }
  if (addsEos && tokens.at(-1) === eosToken) {
    tokens.pop();
  }
  if (tokens.length === 0) {
    throw new UsageError("the prompt is empty; give it at least one token.");
  }
  return tokens;
}

/** Throws a UsageError if there are no tokens, or a number is none. */
export function checkTokens(tokens: readonly number[], vocabularySize: number): void {
  const wrong = tokens.find((token) => !Number.isInteger(token) || token < 0 || token >= vocabularySize);
  if (wrong !== undefined) {
    throw new UsageError(`${wrong} is not a token: the vocabulary has tokens 0 to ${vocabularySize - 1}.`);
  }
  if (tokens.length === 0) {
    throw new UsageError("the prompt is empty; give it at least one token.");
  }
}

/** Throws a UsageError unless a prompt leaves room for an answer in a context of so many tokens. */
export function checkFits(tokens: readonly number[], contextLength: number): void {
  if (tokens.length >= contextLength) {
    throw new UsageError(
      `the prompt has ${tokens.length} tokens, but the context has ${contextLength} and must have room for the answer; shorten it or use a longer context.`,
      { reason: "context-length", promptTokens: tokens.length, contextLength },
    );
  }
}
