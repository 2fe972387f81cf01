/** Pieces of answers gathered for some milliseconds, so that a batch is one message. */

import { type NumberedPiece, type PackedPieces, packPieces } from "./packed-pieces.js";

/**
 * How long pieces are gathered: thirty times a second is as good as at once to whoever reads. Sending costs a third of
 * a millisecond of processor time, and the batches of a small model take only some milliseconds.
 */
const gatherMs = 33;

/** Pieces on their way to the parent. */
export class Outbox {
  readonly #send: (pieces: PackedPieces) => void;
  #pieces: NumberedPiece[] = [];
  #sentAt = 0;
  #isUrgent = false;

  constructor(send: (pieces: PackedPieces) => void) {
    this.#send = send;
  }

  add(id: number, piece: NumberedPiece["piece"]): void {
    this.#pieces.push({ id, piece });
    // The end of an answer frees a slot for another.
    if (piece.finish) {
      this.#isUrgent = true;
    }
  }

  /** Sends what has been gathered long enough or cannot wait; called after every batch. */
  flush(now: number = performance.now()): void {
    if (this.#pieces.length === 0 || (!this.#isUrgent && now - this.#sentAt < gatherMs)) {
      return;
    }
    this.#send(packPieces(this.#pieces));
    this.#pieces = [];
    this.#sentAt = now;
    this.#isUrgent = false;
  }
}
