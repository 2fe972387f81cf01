/**
 * Vocabularies of tiktoken (`tiktoken.model`): a line for each token, its bytes in base64 and its rank, which is its
 * id. GGUF wants merges: those that BPE makes last on its way to each token (llama.cpp `conversion/qwen.py`, bpe).
 */
import { MalformedInputError } from "../../../errors.js";
import type { Fields } from "../fields.js";
import { tokenContent } from "./added-tokens.js";
import { byteCharacters } from "./byte-characters.js";
import { type TokenizerVocabulary, tokenTypes } from "./vocabulary.js";

/** Ids after the ranks that are kept for special tokens. */
const specialTokens = 256;

/**
 * Most pairs of parts looked at to find the merges of all tokens. Kimi's 163 000 tokens need some ten million; without a
 * bound one line of a million letters would take days, since merging a token takes the square of its length.
 */
const mostPairs = 2 ** 27;

/** The vocabulary of a tiktoken file with `size` tokens. */
export function tiktokenVocabulary(
  name: string,
  text: string,
  tokenizerConfig: Fields | undefined,
  size: number,
): TokenizerVocabulary {
  const ranks = readRanks(name, text);
  let pairs = 0;
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Array<number>(size).fill(tokenTypes.unused);
  const merges: string[] = [];
  for (const [bytes, rank] of ranks) {
    if (rank >= size) {
      fail(name, `has the rank ${rank}, but config.json has ${size} tokens`);
    }
    pairs += bytes.length ** 2 / 2;
    if (pairs > mostPairs) {
      fail(name, `has tokens as long as no tokenizer has, such as one of ${bytes.length} bytes`);
    }
    tokens[rank] = byteCharacters(bytes);
    types[rank] = tokenTypes.normal;
    const parts = bytes.length > 1 ? lastMerge(ranks, bytes, rank) : [];
    if (parts.length === 2) {
      merges.push(parts.map(byteCharacters).join(" "));
    }
  }
  const added = tokenizerConfig?.object("added_tokens_decoder");
  for (let id = ranks.size; id < Math.min(size, ranks.size + specialTokens); id++) {
    tokens[id] = tokenContent(added?.value(String(id))) ?? `<|reserved_token_${id}|>`;
    types[id] = tokenTypes.control;
  }
  return { tokens, types, merges };
}

/** Bytes (as a string of characters up to 255) to ranks, in the order of the file. */
function readRanks(name: string, text: string): ReadonlyMap<string, number> {
  const ranks = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line === "") {
      continue;
    }
    const [, encoded, digits] = /^([A-Za-z0-9+/]+={0,2}) (0|[1-9][0-9]{0,8})\r?$/.exec(line) ?? [];
    if (encoded === undefined || digits === undefined) {
      fail(name, `line ${ranks.size + 1} is not a token in base64 and its rank`);
    }
    ranks.set(Buffer.from(encoded, "base64").toString("latin1"), Number(digits));
  }
  return ranks;
}

/** The parts that are left when all merges of a lower rank are done. */
function lastMerge(ranks: ReadonlyMap<string, number>, bytes: string, rank: number): readonly string[] {
  const parts = [...bytes];
  for (;;) {
    let [best, at] = [rank, -1];
    for (let index = 0; index + 1 < parts.length; index++) {
      const merged = ranks.get(`${parts[index]}${parts[index + 1]}`);
      if (merged !== undefined && merged < best) {
        [best, at] = [merged, index];
      }
    }
    if (at < 0) {
      return parts;
    }
    parts.splice(at, 2, `${parts[at]}${parts[at + 1]}`);
  }
}

function fail(name: string, problem: string): never {
  throw new MalformedInputError(`${name}: ${problem}; download it again.`, { file: name });
}
