/**
 * Tokens, token types and merges from tokenizer.json, as llama.cpp's `conversion/base.py` (get_vocab_base) gives
 * them. Only byte-level BPE, the tokenizer of all supported architectures.
 */
import { isJsonArray, isJsonObject, type JsonValue } from "../../bytes/json.js";
import { MalformedInputError } from "../../errors.js";
import type { Fields } from "./fields.js";

/** `enum llama_token_type` in llama.cpp `include/llama.h`. */
const tokenTypes = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

export interface Vocabulary {
  /** Token of every id from 0 to the vocabulary's size. */
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  /** Pairs to merge, best first: two tokens with a space between them. */
  readonly merges: readonly string[];
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/**
 * Reads the vocabulary. Ids that tokenizer.json leaves out, up to `size`, become unused `[PAD<id>]` tokens.
 * Throws a MalformedInputError if the tokenizer is not byte-level BPE, an id is out of range or stands twice.
 */
export function readVocabulary(
  tokenizer: Fields,
  tokenizerConfig: Fields | undefined,
  size: number,
): Vocabulary {
  const model = tokenizer.requireObject("model");
  checkByteLevelBpe(tokenizer, model);
  const tokens: (string | undefined)[] = new Array(size).fill(undefined);
  const ids = new Map<string, number>();
  const place = (content: string, id: JsonValue) => {
    if (!Number.isInteger(id) || Number(id) < 0 || Number(id) >= size) {
      fail(
        tokenizer,
        `token ${JSON.stringify(content)} has the id ${id}, but config.json has ${size} tokens`,
      );
    }
    const other = tokens[Number(id)];
    const otherId = ids.get(content);
    if ((other ?? content) !== content || (otherId ?? id) !== id) {
      fail(tokenizer, `token ${JSON.stringify(content)} with the id ${id} contradicts another token`);
    }
    tokens[Number(id)] = content;
    ids.set(content, Number(id));
  };
  for (const [content, id] of model.requireObject("vocab").json) place(content, id);
  const added = addedTokens(tokenizer, tokenizerConfig);
  for (const { id, content } of added) place(content, id);
  const types = tokens.map((token) =>
    token === undefined ? tokenTypes.unused : tokenTypes.normal,
  ) as number[];
  for (const { id, content, special } of added) {
    const isControl = special || looksSpecial(content);
    types[id] = isControl ? tokenTypes.control : tokenTypes.userDefined;
    // llama.cpp looks for these tokens in the raw text, which has plain spaces.
    if (!isControl) tokens[id] = content.replaceAll("▁", " ");
  }
  for (const id of specialIds(tokenizerConfig, ids)) {
    if (types[id] === tokenTypes.normal) types[id] = tokenTypes.control;
  }
  return {
    tokens: tokens.map((token, id) => token ?? `[PAD${id}]`),
    types,
    merges: model.items("merges").map((merge) => mergeText(tokenizer, merge)),
  };
}

function checkByteLevelBpe(tokenizer: Fields, model: Fields): void {
  const type = model.string("type") ?? "BPE";
  if (type !== "BPE" || model.flag("byte_fallback")) {
    fail(
      tokenizer,
      `the tokenizer is ${type}${type === "BPE" ? " with byte fallback" : ""}, not byte-level BPE`,
    );
  }
  const normalizer = tokenizer.object("normalizer")?.string("type") ?? "NFC";
  if (normalizer !== "NFC") fail(tokenizer, `llama.cpp has no normalizer "${normalizer}" for BPE tokenizers`);
}

/** Tokens added to the BPE model: those of tokenizer.json, then those that only tokenizer_config.json has. */
function addedTokens(tokenizer: Fields, tokenizerConfig: Fields | undefined): readonly AddedToken[] {
  const added = tokenizer.objects("added_tokens").map((token) => addedToken(token, token.requireCount("id")));
  const ids = new Set(added.map(({ id }) => id));
  const more = tokenizerConfig?.object("added_tokens_decoder");
  for (const [id, token] of more?.json ?? []) {
    if (!more || !isJsonObject(token) || !/^\d{1,9}$/.test(id)) more?.wrong(id, "a token under its id");
    else if (!ids.has(Number(id))) added.push(addedToken(more.requireObject(id), Number(id)));
  }
  return added;
}

function addedToken(token: Fields, id: number): AddedToken {
  const content = token.string("content") ?? token.wrong("content", "a string");
  return { id, content, special: token.flag("special") ?? false };
}

/** Tokens that must not come from plain text, though some makers do not mark them as special. */
function looksSpecial(token: string): boolean {
  return (
    ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].includes(token) ||
    /^(<\|.*\|>|<｜.*｜>|<unused.*>)$/s.test(token)
  );
}

/** Ids of tokens that tokenizer_config.json gives a role (`eos_token`, ...). */
function specialIds(config: Fields | undefined, ids: ReadonlyMap<string, number>): readonly number[] {
  const roles = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
  return roles.flatMap((role) => {
    const token = config && tokenContent(config.value(role));
    const id = token === undefined ? undefined : ids.get(token);
    return id === undefined ? [] : [id];
  });
}

/** Text of a token that tokenizer_config.json gives as a string or as an object with its options. */
export function tokenContent(value: JsonValue | undefined): string | undefined {
  const content = isJsonObject(value) ? value.get("content") : value;
  return typeof content === "string" ? content : undefined;
}

/** A merge as GGUF keeps it. Since 2024 tokenizer.json has pairs; a space inside one becomes its byte character. */
function mergeText(tokenizer: Fields, merge: JsonValue): string {
  if (typeof merge === "string" && merge.includes(" ")) return merge;
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
