import type { Model } from "../engine/model.js";

/** What an answer needs to know of the vocabulary. */
export interface Vocabulary {
  /** Bytes of a token; none for a control token. */
  tokenBytes(token: number): Uint8Array;
  /** Whether the token ends an answer. */
  endsGeneration(token: number): boolean;
}

/** A model's vocabulary; llama.cpp is asked for each token once. */
export function vocabularyOf(model: Model): Vocabulary {
  const bytes = remember((token) => model.tokenBytes(token));
  const ends = remember((token) => model.endsGeneration(token));
  return { tokenBytes: bytes, endsGeneration: ends };
}

function remember<Value>(ask: (token: number) => Value): (token: number) => Value {
  const known = new Map<number, Value>();
  return (token) => {
    const value = known.get(token) ?? ask(token);
    known.set(token, value);
    return value;
  };
}
