/**
 * Who is next. Each client has a line of its own and the lines take turns, so that one with many requests does not
 * keep the others waiting.
 */
import { CancelledError } from "../errors.js";

interface Waiting {
  readonly admit: () => void;
}

export class FairQueue {
  readonly #capacity: number;
  /** In the order of their turns; a client without waiting requests has no line. */
  readonly #lines = new Map<string, Waiting[]>();
  #running = 0;
  #waiting = 0;

  /** @param capacity requests that are let through at once */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get running(): number {
    return this.#running;
  }

  /**
   * Waits for the turn of a request. Who entered must `leave`.
   * Throws a CancelledError if `signal` is aborted before.
   */
  enter(client: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) {
      return Promise.reject(new CancelledError("the request was stopped."));
    }
    if (this.#running < this.#capacity) {
      this.#running++;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const cancel = () => {
        this.#remove(client, entry);
        reject(new CancelledError("the request was stopped while it waited."));
      };
      const entry: Waiting = {
        admit: () => {
          signal.removeEventListener("abort", cancel);
          resolve();
        },
      };
      signal.addEventListener("abort", cancel, { once: true });
      this.#lines.set(client, [...(this.#lines.get(client) ?? []), entry]);
      this.#waiting++;
    });
  }

  /** Ends a request that was let through, and lets the next one through. */
  leave(): void {
    this.#running--;
    const [turn] = this.#lines;
    const [entry] = turn?.[1] ?? [];
    if (turn === undefined || entry === undefined) {
      return;
    }
    const [client] = turn;
    this.#remove(client, entry);
    const rest = this.#lines.get(client);
    this.#lines.delete(client);
    if (rest) {
      this.#lines.set(client, rest); // to the end
    }
    this.#running++;
    entry.admit();
  }

  #remove(client: string, entry: Waiting): void {
    const line = (this.#lines.get(client) ?? []).filter((other) => other !== entry);
    if (line.length > 0) {
      this.#lines.set(client, line);
    } else {
      this.#lines.delete(client);
    }
    this.#waiting--;
  }
}
