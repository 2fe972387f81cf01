/**
 * Continuous batching: answers join and leave between the batches of one context. Each batch has the next token of
 * every answer that is being written, and in the room left parts of the prompts of those that begin.
 *
 * Clients who wait get slots until all have as many: while one has two more than another who waits, one of its answers
 * is set aside, and goes on when it is its client's turn again. Its tokens are then computed like a prompt's.
 */
import type { SequenceTokens } from "../engine/batch.js";
import type { Answer } from "./answer.js";
import { ClientLines } from "./client-lines.js";
import type { AnswerPiece } from "./request.js";
import { Slot } from "./slot.js";

/** What the scheduler needs of a `ModelContext`. */
export interface SequenceDecoder {
  decode(sequences: readonly SequenceTokens[]): number;
  /** Rows of logits of the last decode. */
  logits(): Float32Array;
  keepFirst(sequence: number, count: number): number;
  shareFirst(source: number, target: number, count: number): number;
}

export interface SchedulerOptions {
  readonly slots: number;
  /** Tokens that each answer may have with its prompt. */
  readonly contextLength: number;
  /** Tokens at most in one batch. */
  readonly batchSize: number;
  readonly vocabularySize: number;
  /** Whether a sequence may take over the beginning of another. */
  readonly canShare: boolean;
}

/** Hears what becomes of answers. */
export interface SchedulerEvents {
  onStart(answer: Answer, cachedTokens: number): void;
  onPiece(answer: Answer, piece: AnswerPiece): void;
  /** The answer alone has failed. */
  onFailure(answer: Answer, error: unknown): void;
}

/** An answer without a slot. */
interface Waiting {
  readonly answer: Answer;
  /** Its prompt, and what was written of it before it was set aside. */
  readonly tokens: readonly number[];
  readonly isStarted: boolean;
}

export class Scheduler {
  readonly #decoder: SequenceDecoder;
  readonly #options: SchedulerOptions;
  readonly #events: SchedulerEvents;
  readonly #slots: readonly Slot[];
  readonly #waiting = new ClientLines<Waiting>();
  #uses = 0;

  constructor(decoder: SequenceDecoder, options: SchedulerOptions, events: SchedulerEvents) {
    this.#decoder = decoder;
    this.#options = options;
    this.#events = events;
    this.#slots = Array.from({ length: options.slots }, (_, sequence) => new Slot(sequence));
  }

  /** Whether there is nothing to do. */
  get isIdle(): boolean {
    return this.#waiting.size === 0 && this.#slots.every(({ answer }) => answer === undefined);
  }

  /** Adds an answer, which begins as soon as a slot is free. Its prompt has at least one token and fits. */
  add(answer: Answer): void {
    this.#waiting.add(answer.client, { answer, tokens: answer.promptTokens, isStarted: false });
  }

  /** Stops an answer, if it has not ended. */
  cancel(id: number): void {
    for (const { answer } of this.#waiting.remove(({ answer }) => answer.id === id)) {
      answer.close();
    }
    this.#slots.find(({ answer }) => answer?.id === id)?.release();
  }

  /** Gives up all answers. */
  close(): void {
    for (const { answer } of this.#waiting.remove(() => true)) {
      answer.close();
    }
    for (const slot of this.#slots) {
      slot.release();
    }
  }

  /** Computes one batch. */
  step(): void {
    this.#fillSlots();
    const batch = this.#composeBatch();
    if (batch.length === 0) {
      return;
    }
    this.#decoder.decode(batch.map(({ tokens }) => tokens));
    const complete = batch.filter(({ slot, tokens }) => {
      slot.computed += tokens.tokens.length;
      return slot.outstanding === 0;
    });
    const logits = this.#decoder.logits();
    const { vocabularySize } = this.#options;
    for (const [row, { slot }] of complete.entries()) {
      this.#chooseToken(slot, logits.subarray(row * vocabularySize, (row + 1) * vocabularySize));
    }
  }

  #fillSlots(): void {
    for (;;) {
      const client = this.#waiting.next((client) => this.#slotsOf(client).length);
      if (client === undefined || !this.#makeRoom(client)) {
        return;
      }
      const next = this.#waiting.take(client);
      if (next !== undefined) {
        this.#begin(next);
      }
    }
  }

  #slotsOf(client: string): Slot[] {
    return this.#slots.filter(({ answer }) => answer?.client === client);
  }

  /** Whether a slot is free for a client's answer, if need be because one of a client who has more was set aside. */
  #makeRoom(client: string): boolean {
    if (this.#slots.some(({ answer }) => answer === undefined)) {
      return true;
    }
    const slotsOfEach = this.#slots.map(({ answer }) => this.#slotsOf(answer?.client ?? ""));
    const most = slotsOfEach.reduce((most, slots) => (slots.length > most.length ? slots : most));
    if (most.length < this.#slotsOf(client).length + 2) {
      return false;
    }
    this.#setAside(most.reduce((least, slot) => (slot.computed < least.computed ? slot : least)));
    return true;
  }

  #setAside(slot: Slot): void {
    const { answer, tokens } = slot;
    if (answer !== undefined) {
      this.#waiting.putBack(answer.client, { answer, tokens: [...tokens], isStarted: true });
    }
    slot.vacate();
  }

  /** Puts an answer in a free slot, with as many computed tokens as any slot has of those it begins with. */
  #begin({ answer, tokens, isStarted }: Waiting): void {
    const { source, length } = this.#findPrefix(tokens);
    const isContinued = source.answer === undefined && 2 * length >= source.computed && length > 0;
    const slot = isContinued ? source : leastRecentlyUsed(this.#slots.filter((slot) => !slot.answer));
    const canShare = this.#options.canShare && source !== slot && length > slot.commonPrefix(tokens);
    if (canShare) {
      this.#decoder.keepFirst(slot.sequence, 0);
    }
    const cachedTokens = canShare
      ? this.#decoder.shareFirst(source.sequence, slot.sequence, length)
      : this.#decoder.keepFirst(slot.sequence, Math.min(slot.commonPrefix(tokens), tokens.length - 1));
    slot.tokens = [...tokens];
    slot.computed = cachedTokens;
    slot.answer = answer;
    slot.lastUse = ++this.#uses;
    if (!isStarted) {
      this.#events.onStart(answer, cachedTokens);
    }
  }

  /** The longest beginning of a prompt that is computed; its last token never is, since its logits are needed. */
  #findPrefix(prompt: readonly number[]): { source: Slot; length: number } {
    const found = this.#slots.map((source) => ({
      source,
      length: Math.min(source.commonPrefix(prompt), prompt.length - 1),
    }));
    return found.reduce((best, next) => (next.length > best.length ? next : best));
  }

  #composeBatch(): { slot: Slot; tokens: SequenceTokens }[] {
    const active = this.#slots.filter(({ answer }) => answer !== undefined);
    const writing = active.filter(({ outstanding }) => outstanding === 1);
    const reading = active.filter(({ outstanding }) => outstanding > 1);
    let room = this.#options.batchSize - writing.length;
    const batch = writing.map((slot) => part(slot, 1));
    for (const [index, slot] of reading.entries()) {
      // Prompts share the room evenly; what a short one leaves is for those after it.
      const count = Math.min(slot.outstanding, Math.floor(room / (reading.length - index)));
      if (count > 0) {
        batch.push(part(slot, count));
      }
      room -= count;
    }
    return batch;
  }

  #chooseToken(slot: Slot, logits: Float32Array): void {
    const { answer, tokens } = slot;
    if (answer === undefined) {
      return;
    }
    try {
      const { token, piece } = answer.next(logits, tokens, this.#options.contextLength - tokens.length);
      if (token !== undefined) {
        tokens.push(token);
      }
      if (piece.finish) {
        slot.release();
      }
      this.#events.onPiece(answer, piece);
    } catch (error) {
      slot.release();
      this.#events.onFailure(answer, error);
    }
  }
}

/** The next `count` tokens of a slot. Logits are wanted only after all of them. */
function part(slot: Slot, count: number): { slot: Slot; tokens: SequenceTokens } {
  const tokens = slot.tokens.slice(slot.computed, slot.computed + count);
  const logitsFrom = count === slot.outstanding ? count - 1 : count;
  return { slot, tokens: { sequence: slot.sequence, position: slot.computed, tokens, logitsFrom } };
}

function leastRecentlyUsed(slots: readonly Slot[]): Slot {
  return slots.reduce((oldest, slot) => (slot.lastUse < oldest.lastUse ? slot : oldest));
}
