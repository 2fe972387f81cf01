/** What is known of a model's tokens. */
import type { Model } from "../engine/model.js";
import type { GrammarModel } from "./grammar/constraint.js";

/** What an answer needs to know of the vocabulary. */
export interface Vocabulary {
  /** Bytes of a token; none for a control token. */
  tokenBytes(token: number): Uint8Array;
  /** Text of a control token, which is otherwise no part of an answer's text; empty for other tokens. */
  controlText(token: number): string;
  /** Whether the token ends an answer. */
  endsGeneration(token: number): boolean;
}

/** What a grammar needs of a model. */
export function grammarModelOf(model: Model): GrammarModel {
  const bytes = remember((token) => model.tokenBytes(token, { special: true }));
  let byteTokens: ReadonlyMap<number, number> | undefined;
  let byLength: readonly Int32Array[] | undefined;
  return {
    createGrammar: (gbnf) => model.createGrammar(gbnf),
    tokenBytes: bytes,
    byteToken(byte) {
      byteTokens ??= tokensOfBytes(model);
      return byteTokens.get(byte);
    },
    tokensByLength() {
      byLength ??= tokensOfLengths(model.facts.vocabularySize, bytes);
      return byLength;
    },
  };
}

function tokensOfLengths(count: number, bytes: (token: number) => Uint8Array): Int32Array[] {
  const groups = new Map<number, number[]>();
  for (let token = 0; token < count; token++) {
    const { length } = bytes(token);
    const group = groups.get(length) ?? [];
    group.push(token);
    groups.set(length, group);
  }
  return [...groups].sort(([a], [b]) => a - b).map(([, tokens]) => Int32Array.from(tokens));
}

function tokensOfBytes(model: Model): Map<number, number> {
  const tokens = new Map<number, number>();
  for (let token = 0; token < model.facts.vocabularySize; token++) {
    const [byte, ...rest] = model.tokenBytes(token);
    if (byte !== undefined && rest.length === 0) {
      tokens.set(byte, token);
    }
  }
  return tokens;
}

/** A model's vocabulary; llama.cpp is asked for each token once. */
export function vocabularyOf(model: Model): Vocabulary {
  const bytes = remember((token) => model.tokenBytes(token));
  const ends = remember((token) => model.endsGeneration(token));
  const controls = remember((token) =>
    bytes(token).length > 0 ? "" : new TextDecoder().decode(model.tokenBytes(token, { special: true })),
  );
  return { tokenBytes: bytes, controlText: controls, endsGeneration: ends };
}

function remember<Value>(ask: (token: number) => Value): (token: number) => Value {
  const known = new Map<number, Value>();
  return (token) => {
    const value = known.get(token) ?? ask(token);
    known.set(token, value);
    return value;
  };
}
