/**
 * How many threads to decode with, found by measuring decodes. llama.cpp's threads spin at a barrier after every
 * operation, so on cores that other work has taken a small model is many times slower with all of them than with
 * one. What is computed does not depend on the number.
 */

/** Another number must be faster by this factor to be taken. */
const clearlyFaster = 1.1;

/** A decode slower than the choice was by this factor is reason to measure again ... */
const clearlySlower = 1.5;

/** ... when this many times what measuring took last has passed; twice as long each time the choice is confirmed. */
const firstPatience = 20;
const mostPatience = 320;

/** Finds the number of threads for decodes of one kind: those whose times per token can be compared. */
export class ThreadTuner {
  /** From one to all, each about twice the one before. */
  readonly #numbers: readonly number[];
  /** Milliseconds per token of the numbers measured in this round. */
  readonly #measured = new Map<number, number>();
  #choice: number;
  /** What is measured next; the choice itself when nothing is. */
  #trial: number;
  #isSettled = false;
  /** Milliseconds that the round, and what followed it, took. */
  #measuring = 0;
  #since = 0;
  #patience = firstPatience;
  #before: number | undefined;

  /** `start` is what to begin with: what was best for other decodes. */
  constructor(most: number, start?: number) {
    const numbers: number[] = [];
    for (let number = most; number >= 1; number = number === 1 ? 0 : Math.ceil(number / 2)) {
      numbers.unshift(number);
    }
    this.#numbers = numbers;
    const middle = numbers.length >> 1;
    const from = start === undefined ? middle - (numbers.length % 2 === 0 ? 1 : 0) : numbers.indexOf(start);
    this.#choice = Math.max(0, from);
    this.#trial = this.#choice;
  }

  /** Threads for the next decode. */
  get threads(): number {
    return this.#numbers[this.#trial] ?? 1;
  }

  /** The best number so far. */
  get best(): number {
    return this.#numbers[this.#choice] ?? 1;
  }

  /** Tells how long a decode of so many tokens took with `threads`. */
  record(tokens: number, milliseconds: number): void {
    const perToken = milliseconds / tokens;
    if (this.#isSettled) {
      this.#watch(perToken, milliseconds);
      return;
    }
    this.#measuring += milliseconds;
    this.#measured.set(this.#trial, perToken);
    if (perToken * clearlyFaster < this.#time(this.#choice)) {
      this.#choice = this.#trial;
    }
    this.#next();
  }

  /** Goes up from the choice as long as that is faster, otherwise down. */
  #next(): void {
    const neighbour = [this.#choice + 1, this.#choice - 1].find(
      (index) => index >= 0 && index < this.#numbers.length && !this.#measured.has(index),
    );
    this.#trial = neighbour ?? this.#choice;
    if (neighbour === undefined) {
      this.#isSettled = true;
      this.#patience =
        this.#before === this.#choice ? Math.min(mostPatience, 2 * this.#patience) : firstPatience;
    }
  }

  #watch(perToken: number, milliseconds: number): void {
    this.#since += milliseconds;
    const settled = this.#time(this.#choice);
    const fell = perToken > clearlySlower * settled;
    const patience = fell ? firstPatience : this.#patience;
    if (this.#numbers.length > 1 && this.#since > patience * this.#measuring) {
      this.#before = this.#choice;
      this.#measured.clear();
      this.#measured.set(this.#choice, perToken);
      this.#measuring = 0;
      this.#since = 0;
      this.#isSettled = false;
      this.#next();
    }
  }

  #time(index: number): number {
    return this.#measured.get(index) ?? Number.POSITIVE_INFINITY;
  }
}

/** What decodes must have in common to be compared. */
export interface DecodeKind {
  readonly weightsBytes: number;
  readonly tokens: number;
  /** Observers watch. */
  readonly isWatched: boolean;
}

/** The tuners of a process, for all its contexts: what is learned in one helps the next. */
export class ThreadTuners {
  readonly #most: number;
  readonly #tuners = new Map<string, ThreadTuner>();
  #latest: ThreadTuner | undefined;

  /** For at most so many threads. */
  constructor(most: number) {
    this.#most = most;
  }

  of({ weightsBytes, tokens, isWatched }: DecodeKind): ThreadTuner {
    const key = `${magnitude(weightsBytes)} ${magnitude(tokens)} ${isWatched}`;
    let tuner = this.#tuners.get(key);
    if (tuner === undefined) {
      tuner = new ThreadTuner(this.#most, this.#latest?.best);
      this.#tuners.set(key, tuner);
    }
    this.#latest = tuner;
    return tuner;
  }
}

function magnitude(value: number): number {
  return Math.ceil(Math.log2(Math.max(1, value)));
}
