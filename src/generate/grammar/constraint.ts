/**
 * Keeps an answer within a grammar, from its beginning or from a trigger on. Triggers are looked for here rather than
 * by llama.cpp, whose regular expressions recurse through the whole answer and which aborts the process if what
 * follows a trigger within a token does not fit the grammar.
 */
import type { Grammar } from "../../engine/grammar.js";
import { UsageError } from "../../errors.js";
import { checkGbnf } from "./gbnf-check.js";
import { GrammarTime } from "./grammar-time.js";
import { continueUtf8, type Utf8State, utf8Start } from "./utf8.js";

/** A grammar that an answer is to follow. */
export interface AnswerGrammar {
  /** Rules in GBNF, llama.cpp's notation; `root` is what the grammar holds for. */
  readonly gbnf: string;
  /**
   * Texts with which the grammar begins to hold, themselves included: what comes before is free, and an answer in
   * which none of them occurs is free as a whole. Control tokens count as their text. Without triggers the grammar
   * holds for the whole answer.
   */
  readonly triggers?: readonly string[] | undefined;
}

/** What a constraint needs of the model. */
export interface GrammarModel {
  createGrammar(gbnf: string): Grammar;
  /** Bytes of a token, those of control tokens included. */
  tokenBytes(token: number): Uint8Array;
  /** The token that is this byte alone, if there is one. */
  byteToken(byte: number): number | undefined;
  /** All tokens, those of one length in bytes together, the shortest first. */
  tokensByLength(): readonly Int32Array[];
}

/** Tokens of a length that are tried together at first; sixteen times as many next, if they took less than this. */
const firstTokens = 4;
const quickMs = 50;

const maxTriggers = 64;
const maxTriggerBytes = 256;

/** Follows one answer. Release it with `close`. */
export class Constraint {
  readonly #model: GrammarModel;
  readonly #gbnf: string;
  /** Triggers and texts here have a character for each byte. */
  readonly #triggers: readonly string[];
  readonly #longestTrigger: number;
  #isWaiting: boolean;
  #tail = "";
  #grammar: Grammar;
  readonly #time = new GrammarTime();
  #utf8: Utf8State = utf8Start;
  /** The token that has just been found to complete a trigger; `#grammar` has read it already. */
  #started: number | undefined;

  /** Throws a UsageError if the grammar cannot be used. */
  constructor(model: GrammarModel, { gbnf, triggers = [] }: AnswerGrammar) {
    checkGbnf(gbnf);
    this.#model = model;
    this.#gbnf = gbnf;
    this.#triggers = triggers.map((trigger) => byteText(new TextEncoder().encode(trigger)));
    const lengths = this.#triggers.map(({ length }) => length);
    this.#longestTrigger = Math.max(0, ...lengths.slice(0, maxTriggers));
    if (triggers.length > maxTriggers || this.#longestTrigger > maxTriggerBytes || lengths.includes(0)) {
      throw new UsageError(
        `a grammar takes at most ${maxTriggers} triggers of 1 to ${maxTriggerBytes} bytes each; change them.`,
      );
    }
    this.#isWaiting = triggers.length > 0;
    this.#grammar = model.createGrammar(gbnf);
  }

  /** Whether the token can follow. */
  allows(token: number): boolean {
    const bytes = this.#model.tokenBytes(token);
    if (this.#isWaiting) {
      return this.#allowsWaiting(token, bytes);
    }
    return (
      continueUtf8(this.#utf8, bytes) !== undefined &&
      this.#time.measure(() => this.#grammar.allows(token)).result
    );
  }

  /**
   * Sets the logits of tokens that cannot follow to minus infinity; a few that cannot may be left. No call of
   * llama.cpp can be stopped, and in an ambiguous grammar a token takes as many times longer as there are readings
   * with each of its characters: so the shortest are tried first, few at a time until they prove to be quick.
   * Throws a UsageError if the grammar takes too long.
   * @param logits of all tokens
   */
  mask(logits: Float32Array): void {
    if (this.#isWaiting) {
      return;
    }
    for (const tokens of this.#model.tokensByLength()) {
      let count = firstTokens;
      for (let at = 0; at < tokens.length; ) {
        const part = tokens.subarray(at, at + count);
        const { took } = this.#time.measure(() => this.#grammar.mask(logits, part));
        at += part.length;
        count = took < quickMs ? 16 * count : count;
      }
    }
  }

  /** Goes on by a token that it allows. */
  accept(token: number): void {
    const bytes = this.#model.tokenBytes(token);
    if (!this.#isWaiting) {
      this.#utf8 = continueUtf8(this.#utf8, bytes) ?? utf8Start;
      this.#time.measure(() => this.#grammar.accept(token));
    } else if (this.#started === token) {
      this.#isWaiting = false;
    } else {
      const text = this.#tail + byteText(bytes);
      this.#tail = text.slice(Math.max(0, text.length - this.#longestTrigger + 1));
    }
    this.#started = undefined;
    this.#time.nextToken();
  }

  close(): void {
    this.#grammar.close();
  }

  #allowsWaiting(token: number, bytes: Uint8Array): boolean {
    const text = this.#tail + byteText(bytes);
    const begins = this.#triggers.map((trigger) => text.indexOf(trigger)).filter((at) => at >= 0);
    if (begins.length === 0) {
      return true;
    }
    this.#grammar.close();
    this.#grammar = this.#model.createGrammar(this.#gbnf);
    const isAllowed = this.#time.measure(() => this.#read(text.slice(Math.min(...begins)))).result;
    this.#started = isAllowed ? token : undefined;
    return isAllowed;
  }

  /** Has the grammar read the trigger and what follows it in its token, byte by byte. */
  #read(text: string): boolean {
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    const state = continueUtf8(utf8Start, bytes);
    for (const byte of bytes) {
      const token = this.#model.byteToken(byte);
      if (token === undefined) {
        throw new UsageError(
          "this model's vocabulary has no tokens for single bytes, so a grammar cannot begin at a trigger; use one that holds for the whole answer.",
        );
      }
      if (!this.#grammar.allows(token)) {
        return false;
      }
      this.#grammar.accept(token);
    }
    this.#utf8 = state ?? utf8Start;
    return state !== undefined;
  }
}

function byteText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
