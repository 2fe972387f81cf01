/**
 * Lets requests through, so many at once. Clients take turns, and one who comes to a queue that others have filled is
 * let through too until it has its share.
 */
import { CancelledError } from "../errors.js";
import { ClientLines } from "../generate/client-lines.js";

interface Waiting {
  readonly admit: () => void;
}

export class FairQueue {
  readonly #capacity: number;
  readonly #lines = new ClientLines<Waiting>();
  /** Requests of each client that were let through. */
  readonly #runningOf = new Map<string, number>();
  #running = 0;

  /**
   * @param capacity requests that are let through at once; above it, a client's until it has as many as there would be
   *   of each if all had as many
   */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get waiting(): number {
    return this.#lines.size;
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
    return new Promise((resolve, reject) => {
      const cancel = () => {
        this.#lines.remove((other) => other === entry);
        this.#admit(); // the others' shares have grown
        reject(new CancelledError("the request was stopped while it waited."));
      };
      const entry: Waiting = {
        admit: () => {
          signal.removeEventListener("abort", cancel);
          resolve();
        },
      };
      signal.addEventListener("abort", cancel, { once: true });
      this.#lines.add(client, entry);
      this.#admit();
    });
  }

  /** Ends a request of a client that was let through, and lets the next ones through. */
  leave(client: string): void {
    this.#count(client, -1);
    this.#admit();
  }

  #admit(): void {
    for (;;) {
      const next = this.#lines.next((client) => this.#held(client));
      if (next === undefined || !this.#mayEnter(next)) {
        return;
      }
      this.#count(next, 1);
      this.#lines.take(next)?.admit();
    }
  }

  #mayEnter(client: string): boolean {
    const clients = new Set([...this.#runningOf.keys(), ...this.#lines.clients]).size;
    return this.#running < this.#capacity || this.#held(client) < Math.floor(this.#capacity / clients);
  }

  #held(client: string): number {
    return this.#runningOf.get(client) ?? 0;
  }

  #count(client: string, more: number): void {
    this.#running += more;
    const held = this.#held(client) + more;
    if (held > 0) {
      this.#runningOf.set(client, held);
    } else {
      this.#runningOf.delete(client);
    }
  }
}
