/**
 * Tokens, token types and merges from tokenizer.json, as llama.cpp's `conversion/base.py` (get_vocab_base) gives
 * them. Only byte-level BPE, the tokenizer of all supported architectures.
 */
import { isJsonArray, type JsonValue } from "../../../bytes/json.js";
import { MalformedInputError } from "../../../errors.js";
import type { Fields } from "../fields.js";
import { addedTokens, tokensWithRoles } from "./added-tokens.js";

/** `enum llama_token_type` in llama.cpp `include/llama.h`. */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface TokenizerVocabulary {
  /** Token of every id from 0 to the vocabulary's size. */
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  /** Pairs to merge, best first: two tokens with a space between them. */
  readonly merges: readonly string[];
}

/**
 * Reads the vocabulary. Ids that tokenizer.json leaves out, up to `size`, become unused `[PAD<id>]` tokens.
 * Throws a MalformedInputError if the tokenizer is not byte-level BPE, an id is out of range or stands twice.
 */
export function readVocabulary(
  tokenizer: Fields,
  tokenizerConfig: Fields | undefined,
  size: number,
): TokenizerVocabulary {
  const model = tokenizer.requireObject("model");
  checkByteLevelBpe(tokenizer, model);
  const table = new TokenTable(tokenizer, size);
  for (const [content, id] of model.requireObject("vocab").json) {
    table.place(content, id, tokenTypes.normal);
  }
  const added = addedTokens(tokenizer, tokenizerConfig);
  for (const { id, content, isControl } of added) {
    table.place(content, id, isControl ? tokenTypes.control : tokenTypes.userDefined);
  }
  for (const token of tokensWithRoles(tokenizerConfig)) {
    table.makeControl(token);
  }
  const merges = model.items("merges").map((merge) => mergeText(tokenizer, merge));
  return { tokens: table.tokens, types: table.types, merges };
}

/** Tokens by id and ids by token, each only once. */
class TokenTable {
  readonly tokens: string[];
  readonly types: number[];
  readonly #ids = new Map<string, number>();
  readonly #tokenizer: Fields;

  constructor(tokenizer: Fields, size: number) {
    this.tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
    this.types = new Array(size).fill(tokenTypes.unused);
    this.#tokenizer = tokenizer;
  }

  /** Gives a token its id and type; a token that has this id already gets the new type. */
  place(content: string, id: JsonValue, type: number): void {
    const size = this.types.length;
    const token = JSON.stringify(content);
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= size) {
      fail(this.#tokenizer, `token ${token} has the id ${id}, but config.json has ${size} tokens`);
    }
    const isFree = this.types[id] === tokenTypes.unused;
    if (this.#ids.has(content) ? this.#ids.get(content) !== id : !isFree) {
      fail(this.#tokenizer, `token ${token} with the id ${id} contradicts another token`);
    }
    this.#ids.set(content, id);
    this.types[id] = type;
    // llama.cpp looks for the user's tokens in the raw text, which has plain spaces.
    this.tokens[id] = type === tokenTypes.userDefined ? content.replaceAll("▁", " ") : content;
  }

  /** Makes a token of the plain vocabulary a control token, if there is one. */
  makeControl(content: string): void {
    const id = this.#ids.get(content);
    if (id !== undefined && this.types[id] === tokenTypes.normal) {
      this.types[id] = tokenTypes.control;
    }
  }
}

function checkByteLevelBpe(tokenizer: Fields, model: Fields): void {
  const type = model.string("type") ?? "BPE";
  if (type !== "BPE" || model.flag("byte_fallback")) {
    fail(
      tokenizer,
      `the tokenizer is ${type}${type === "BPE" ? " with byte fallback" : ""}, not byte-level BPE`,
    );
  }
  for (const normalizer of normalizers(tokenizer.object("normalizer"))) {
    // llama.cpp has none for BPE, not even NFC; but text is nearly always in that form already.
    if (normalizer !== "NFC") {
      fail(tokenizer, `llama.cpp has no normalizer "${normalizer}" for BPE tokenizers`);
    }
  }
}

/** Types of a normalizer and those inside it. */
function normalizers(normalizer: Fields | undefined): readonly string[] {
  if (!normalizer) {
    return [];
  }
  const type = normalizer.string("type") ?? "";
  return type === "Sequence" ? normalizer.objects("normalizers").flatMap(normalizers) : [type];
}

/** A merge as GGUF keeps it. Since 2024 tokenizer.json has pairs; a space inside one becomes its byte character. */
export function mergeText(tokenizer: Fields, merge: JsonValue): string {
  if (typeof merge === "string" && merge.includes(" ")) {
    return merge;
  }
  if (isJsonArray(merge) && merge.length === 2) {
    const [left, right] = merge;
    if (typeof left === "string" && typeof right === "string") {
      return `${left.replaceAll(" ", "Ġ")} ${right.replaceAll(" ", "Ġ")}`;
    }
  }
  return fail(tokenizer, `the merge ${JSON.stringify(merge)} is not a pair of tokens`);
}

function fail(tokenizer: Fields, problem: string): never {
  throw new MalformedInputError(`${tokenizer.file}: ${problem}.`, { file: tokenizer.file });
}
