import type { Model } from "../engine/model.js";
import { UsageError } from "../errors.js";

/**
 * Tokens of a prompt: control tokens in a text count as such, BOS is not doubled.
 * @throws UsageError if there are none, or a number is no token
 */
export function promptTokens(model: Model, prompt: string | readonly number[]): number[] {
  const { vocabularySize, bosToken, eosToken, addsEos } = model.facts;
  if (typeof prompt !== "string") {
    const wrong = prompt.find((token) => !Number.isInteger(token) || token < 0 || token >= vocabularySize);
    if (wrong !== undefined)
      throw new UsageError(`${wrong} is not a token: the vocabulary has tokens 0 to ${vocabularySize - 1}.`);
    if (prompt.length === 0) throw new UsageError("the prompt is empty; give it at least one token.");
    return [...prompt];
  }
  const tokens = [...model.tokenize(prompt, { parseSpecial: true })];
  if (bosToken >= 0 && tokens[0] === bosToken && tokens[1] === bosToken) tokens.shift();
  if (addsEos && tokens.at(-1) === eosToken) tokens.pop();
  if (tokens.length === 0) throw new UsageError("the prompt is empty; give it at least one token.");
  return tokens;
}
