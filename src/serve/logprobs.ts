/** Probabilities of tokens in the two forms that OpenAI's API has. */
import type { TokenLogprob } from "../generate/request.js";

/** A token's bytes as text: what is a part of a character becomes U+FFFD. */
const textOf = (bytes: Uint8Array) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

const describe = ({ bytes, logprob }: { bytes: Uint8Array; logprob: number }) => ({
  token: textOf(bytes),
  logprob,
  bytes: [...bytes],
});

/** As chat completions have them. */
export function chatLogprobs(logprobs: readonly TokenLogprob[]): object {
  return {
    content: logprobs.map((entry) => ({ ...describe(entry), top_logprobs: entry.top.map(describe) })),
    refusal: null,
  };
}

/**
 * As plain completions have them.
 * @param offset characters of the text before these tokens
 */
export function completionLogprobs(logprobs: readonly TokenLogprob[], offset: number): object {
  const tokens = logprobs.map(({ bytes }) => textOf(bytes));
  let at = offset;
  return {
    tokens,
    token_logprobs: logprobs.map(({ logprob }) => logprob),
    top_logprobs: logprobs.map(({ top }) =>
      Object.fromEntries(top.map(({ bytes, logprob }) => [textOf(bytes), logprob])),
    ),
    text_offset: tokens.map(({ length }) => {
      at += length;
      return at - length;
    }),
  };
}
