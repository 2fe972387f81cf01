/**
 * How long one answer's grammar may take. The answers of a batch are written by one thread, so a grammar that takes
 * long holds up every client. Real ones need some milliseconds per token; an ambiguous one can need twice as long
 * with each token, or half a second for every token.
 * What is measured are whole calls of llama.cpp, which cannot be stopped; `gbnf-cost.ts` bounds what one character
 * takes, but a long token can multiply the readings of each of its characters.
 */
import { UsageError } from "../../errors.js";

/** For one token, on a machine that may be busy. */
const maxTokenMs = 2000;
/** For an answer: this, and as much more with each of its tokens. */
const maxAnswerMs = 5000;
const moreWithTokenMs = 100;

/** The time that an answer's grammar has taken. */
export class GrammarTime {
  readonly #now: () => number;
  #tokens = 0;
  #ofToken = 0;
  #ofAnswer = 0;

  /** @param now a clock, in milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Does a part of the work on a token. Throws a UsageError if the token's or the answer's time is used up.
   * @returns its result, and the milliseconds it took
   */
  measure<Result>(work: () => Result): { result: Result; took: number } {
    const begin = this.#now();
    const result = work();
    const took = this.#now() - begin;
    this.#ofToken += took;
    this.#ofAnswer += took;
    if (this.#ofToken > maxTokenMs) {
      throw tooSlow(`a token took more than ${maxTokenMs / 1000} seconds`);
    }
    if (this.#ofAnswer > maxAnswerMs + moreWithTokenMs * this.#tokens) {
      throw tooSlow(
        `${this.#tokens + 1} tokens took more than ${(maxAnswerMs + moreWithTokenMs * this.#tokens) / 1000} seconds`,
      );
    }
    return { result, took };
  }

  /** The next token begins. */
  nextToken(): void {
    this.#tokens++;
    this.#ofToken = 0;
  }
}

function tooSlow(what: string): UsageError {
  return new UsageError(
    `the grammar is too ambiguous: ${what}; write it so that a text can be read in few ways.`,
    { reason: "grammar-too-slow" },
  );
}
