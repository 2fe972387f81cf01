/** A sequence of the context that serves one answer after the other. */
import type { Answer } from "./answer.js";

export class Slot {
  readonly sequence: number;
  /** The sequence's tokens: those that are computed, then those that will be. */
  tokens: number[] = [];
  /** How many of them are computed and in the cache. */
  computed = 0;
  answer: Answer | undefined;
  /** Grows with each answer; the slot with the least was unused the longest. */
  lastUse = 0;

  constructor(sequence: number) {
    this.sequence = sequence;
  }

  /** Tokens to compute before the next one can be chosen. */
  get outstanding(): number {
    return this.tokens.length - this.computed;
  }

  /** Tokens at the beginning that are computed and the same as a prompt's. */
  commonPrefix(prompt: readonly number[]): number {
    const most = Math.min(this.computed, prompt.length);
    let length = 0;
    while (length < most && this.tokens[length] === prompt[length]) {
      length++;
    }
    return length;
  }

  /** Ends the answer; what is computed stays for prompts that begin alike. */
  release(): void {
    this.answer?.close();
    this.vacate();
  }

  /** Lets the answer go without ending it. */
  vacate(): void {
    this.answer = undefined;
    this.tokens.length = this.computed;
  }
}
