/**
 * Whether the engine's process still answers: it is asked once a second, and its main thread, which no native call
 * blocks, answers at once. A process that is stopped, or that the system keeps from running, falls silent. Questions
 * are counted rather than seconds, so that a computer that slept does not look like an engine that did.
 */

/** Time between two questions. */
const intervalMs = 1000;
/** Unanswered questions after which the process counts as silent. */
const silentAfter = 3;
/** Unanswered questions after which the process is given up. */
const lostAfter = 30;

export interface HeartbeatOptions {
  readonly ask: () => void;
  /** The process is given up: it is to be killed. */
  readonly onLost: () => void;
}

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #timer: NodeJS.Timeout;
  #unanswered = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#tick(), intervalMs).unref();
  }

  /** Whether the process has not answered for some seconds. */
  get isSilent(): boolean {
    return this.#unanswered >= silentAfter;
  }

  /** Whether the process was given up. */
  get isLost(): boolean {
    return this.#unanswered >= lostAfter;
  }

  /** Hears an answer. */
  answered(): void {
    this.#unanswered = 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    if (this.isLost) {
      this.#options.onLost();
      return;
    }
    this.#unanswered++;
    this.#options.ask();
  }
}
