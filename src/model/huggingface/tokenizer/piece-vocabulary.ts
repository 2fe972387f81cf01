/**
 * Vocabularies whose tokens have scores: those of `tokenizer.model`, with what added_tokens.json and
 * tokenizer_config.json put in their place (llama.cpp `conversion/base.py`, _create_vocab_sentencepiece), and
 * Gemma 4's, a BPE of characters in tokenizer.json.
 */
import type { JsonValue } from "../../../bytes/json.js";
import { MalformedInputError } from "../../../errors.js";
import type { Fields } from "../fields.js";
import { addedTokens, looksSpecial, tokensWithRoles } from "./added-tokens.js";
import type { SentencePieceModel } from "./sentencepiece.js";
import { mergeText, tokenTypes } from "./vocabulary.js";

export interface ScoredVocabulary {
  readonly tokens: readonly string[];
  readonly scores: readonly number[];
  readonly types: readonly number[];
}

const unusedScore = -10000;
const addedScore = -1000;

/** The vocabulary of a SentencePiece model with `size` tokens; ids without a piece are unused. */
export function sentencePieceVocabulary(
  { pieces }: SentencePieceModel,
  added: { readonly tokens: Fields | undefined; readonly config: Fields | undefined },
  size: number,
): ScoredVocabulary {
  const tokens = Array.from({ length: size }, (_, id) => pieces[id]?.text ?? `[PAD${id}]`);
  const scores = Array.from({ length: size }, (_, id) => pieces[id]?.score ?? unusedScore);
  const types = Array.from({ length: size }, (_, id) => pieces[id]?.kind ?? tokenTypes.unused);
  const place = (id: number, token: string, type: number) => {
    if (id < size) {
      tokens[id] = token;
      scores[id] = addedScore;
      types[id] = type;
    }
  };
  for (const [token, id] of added.tokens?.json ?? []) {
    place(idOf(added.tokens, token, id), token, tokenTypes.userDefined);
  }
  const decoder = added.config?.object("added_tokens_decoder");
  for (const name of decoder?.json.keys() ?? []) {
    const entry = decoder?.requireObject(name);
    const token = entry?.string("content") ?? "";
    const isControl = (entry?.flag("special") ?? false) || looksSpecial(token);
    const text = isControl ? token : token.replaceAll("▁", " ");
    place(idOf(decoder, name, Number(name)), text, isControl ? tokenTypes.control : tokenTypes.userDefined);
  }
  return { tokens, scores, types };
}

/** Tokens that Gemma 4's answers must show, since what reads them needs them. */
const visibleTokens: ReadonlySet<string> = new Set([
  "<|channel>",
  "<channel|>",
  "<|tool_call>",
  "<tool_call|>",
  "<|tool_response>",
  "<tool_response|>",
  '<|"|>',
]);

/** Gemma 4's vocabulary: characters and bytes, merged as BPE merges them. */
export function characterBpeVocabulary(
  tokenizer: Fields,
  tokenizerConfig: Fields | undefined,
  size: number,
): ScoredVocabulary & { readonly merges: readonly string[] } {
  const model = tokenizer.requireObject("model");
  if (model.string("type") !== "BPE" || !model.flag("byte_fallback")) {
    throw new MalformedInputError(
      `${tokenizer.file}: the tokenizer is not BPE of characters with byte fallback.`,
      {
        file: tokenizer.file,
      },
    );
  }
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Array<number>(size).fill(tokenTypes.unused);
  const inVocabulary = new Set<number>();
  for (const [token, value] of model.requireObject("vocab").json) {
    const id = idOf(tokenizer, token, value);
    if (id >= size) {
      tokenizer.wrong(token, `an id below ${size}`);
    }
    tokens[id] = token;
    inVocabulary.add(id);
    types[id] = /^<0x[0-9A-Fa-f]{2}>$/.test(token) ? tokenTypes.byte : tokenTypes.normal;
  }
  const special = new Set(tokensWithRoles(tokenizerConfig));
  for (const { id, content } of addedTokens(tokenizer, tokenizerConfig)) {
    if (id < size && !inVocabulary.has(id)) {
      tokens[id] = content;
      types[id] = tokenTypes.userDefined;
    }
  }
  for (const [id, token] of tokens.entries()) {
    if (visibleTokens.has(token)) {
      types[id] = tokenTypes.userDefined;
    } else if (special.has(token)) {
      types[id] = tokenTypes.control;
    }
  }
  const merges = model.items("merges").map((merge) => mergeText(tokenizer, merge));
  return { tokens, scores: new Array<number>(size).fill(addedScore), types, merges };
}

function idOf(file: Fields | undefined, token: string, id: JsonValue): number {
  if (typeof id !== "number" || !Number.isInteger(id) || id < 0) {
    throw new MalformedInputError(
      `${file?.file}: token ${JSON.stringify(token)} has the id ${id}, which is none.`,
      {
        file: file?.file ?? "",
      },
    );
  }
  return id;
}
