/** A model's tokenizer: llama.cpp's, given texts that are cut at their special tokens first (special-tokens.ts). */
import { CancelledError, UsageError } from "../errors.js";
import type { ModelFacts } from "./facts.js";
import { type Address, C, type NativeFunctions } from "./native.js";
import { type SpecialToken, SpecialTokens, type TextPart } from "./special-tokens.js";

export interface TokenizeOptions {
  /** Add the tokens that the vocabulary puts around a text (BOS, EOS); true by default. */
  readonly addSpecial?: boolean;
  /** Read control tokens such as `<|im_start|>` in the text as such; false by default. */
  readonly parseSpecial?: boolean;
  /**
   * A character that is taken out of the text, between and not within the control tokens that are read as such: one
   * that has it inside is plain text.
   */
  readonly mark?: string;
}

/** What `llama_tokenize` returns if the number of tokens does not fit in 32 bits. */
const sizeOverflow = -(2 ** 31);

const encoder = new TextEncoder();

export class Tokenizer {
  readonly #native: NativeFunctions;
  readonly #vocabulary: Address;
  readonly #facts: ModelFacts;
  readonly #isCancelled: () => boolean;
  #specialTokens: readonly SpecialToken[] | undefined;
  #splitter: SpecialTokens | undefined;
  #longest = 0;

  constructor(native: NativeFunctions, vocabulary: Address, facts: ModelFacts, isCancelled: () => boolean) {
    this.#native = native;
    this.#vocabulary = vocabulary;
    this.#facts = facts;
    this.#isCancelled = isCancelled;
  }

  /**
   * Tokens of a text, the same as llama.cpp's. Bytes are taken as they are; a string is encoded as UTF-8.
   * Throws a UsageError if there are more than llama.cpp can count, and a CancelledError.
   */
  tokenize(text: string | Uint8Array, options: TokenizeOptions = {}): Int32Array {
    const bytes = typeof text === "string" ? encoder.encode(text) : text;
    const { addSpecial = true, parseSpecial = false, mark } = options;
    this.#splitter ??= new SpecialTokens(this.#special());
    const parts = this.#splitter.split(bytes, parseSpecial);
    const [before, after] = addSpecial ? this.#around() : [[], []];
    return joined([before, ...parts.map((part) => this.#tokensOf(bytes, part, mark)), after]);
  }

  /** Texts of the control tokens. */
  controlTexts(): string[] {
    return this.#special()
      .filter(({ isControl }) => isControl)
      .map(({ text }) => Buffer.from(text, "latin1").toString("utf8"));
  }

  /** Bytes of the longest token, at most: as the vocabulary spells it. */
  longestTokenBytes(): number {
    if (this.#longest === 0) {
      for (let token = 0; token < this.#facts.vocabularySize; token++) {
        this.#longest = Math.max(this.#longest, Buffer.byteLength(this.#textOf(token)));
      }
    }
    return this.#longest;
  }

  #tokensOf(bytes: Uint8Array, part: TextPart, mark: string | undefined): ArrayLike<number> {
    if (typeof part === "number") {
      return [part];
    }
    if (this.#isCancelled()) {
      throw new CancelledError("tokenizing was stopped.");
    }
    const text = bytes.subarray(part.begin, part.end);
    return this.#write(mark === undefined ? text : without(text, mark), false);
  }

  #write(bytes: Uint8Array, addSpecial: boolean): Int32Array {
    const write = (tokens: Int32Array) =>
      this.#native.llama_tokenize(
        this.#vocabulary,
        bytes,
        bytes.length,
        tokens,
        tokens.length,
        addSpecial,
        false, // control tokens were cut out, or are none
      );
    // A token nearly always stands for a byte or more; if there are more tokens, llama.cpp returns minus their number.
    let tokens = new Int32Array(bytes.length + 16);
    let count = write(tokens);
    if (count < 0 && count > sizeOverflow) {
      tokens = new Int32Array(-count);
      count = write(tokens);
    }
    if (count < 0) {
      throw new UsageError(
        `a text of ${bytes.length} bytes has more tokens than llama.cpp can count; split it.`,
      );
    }
    return tokens.subarray(0, count);
  }

  /** What llama.cpp puts before and after a text: all that an empty text has. */
  #around(): [ArrayLike<number>, ArrayLike<number>] {
    const { addsBos, bosToken } = this.#facts;
    const tokens = this.#write(new Uint8Array(0), true);
    const begins = tokens.length > 1 || (addsBos && tokens[0] === bosToken);
    return begins ? [tokens.subarray(0, 1), tokens.subarray(1)] : [[], tokens];
  }

  #special(): readonly SpecialToken[] {
    this.#specialTokens ??= this.#findSpecial();
    return this.#specialTokens;
  }

  #findSpecial(): SpecialToken[] {
    const { unknown, control, userDefined, stripsLeft, stripsRight } = C.tokenAttributes;
    const found: SpecialToken[] = [];
    for (let token = 0; token < this.#facts.vocabularySize; token++) {
      const attributes = this.#native.llama_vocab_get_attr(this.#vocabulary, token);
      if ((attributes & (unknown | control | userDefined)) === 0) {
        continue;
      }
      found.push({
        token,
        text: Buffer.from(this.#textOf(token)).toString("latin1"),
        isControl: (attributes & (unknown | control)) !== 0,
        stripsLeft: (attributes & stripsLeft) !== 0,
        stripsRight: (attributes & stripsRight) !== 0,
      });
    }
    return found;
  }

  #textOf(token: number): string {
    return this.#native.llama_vocab_get_text(this.#vocabulary, token) ?? "";
  }
}

function without(bytes: Uint8Array, mark: string): Uint8Array {
  const text = Buffer.from(bytes).toString("utf8");
  return text.includes(mark) ? encoder.encode(text.replaceAll(mark, "")) : bytes;
}

function joined(lists: readonly ArrayLike<number>[]): Int32Array {
  const all = new Int32Array(lists.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  return all;
}
