/** Watching the computation: llama.cpp's evaluation callback, shared by any number of observers. */
import type { Address } from "./native.js";
import type { NativeTensor, TensorSpace } from "./tensor.js";

/** Looks at activations. Both functions are called in the middle of a decode and must not start another. */
export interface Observer {
  /**
   * The operations of interest (`MUL_MAT`, `MUL_MAT_ID`, ...); all if absent. Naming them is what keeps watching
   * cheap: nodes of other operations are never shown.
   */
  readonly operations?: readonly string[];
  /** Asked about each node before it is computed: is its data wanted? Every yes costs a pause of all threads. */
  wants(node: NativeTensor): boolean;
  /**
   * Shows a wanted node, computed. Its data and its sources' are valid until this returns. `"stop"` leaves out what
   * follows in this micro-batch: nobody wants it.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: most observers return nothing
  observe(node: NativeTensor): "stop" | void;
}

/** Asks and informs the observers of one context. */
export class Observers {
  readonly #observers: readonly Observer[];
  readonly #space: TensorSpace;
  readonly #isCancelled: () => boolean;
  /** Observers of an operation, by its number. */
  readonly #byOperation = new Map<number, readonly Observer[]>();
  /** Who wanted the node that was asked about last: llama.cpp computes and shows it before it asks again. */
  #interested: Observer[] = [];
  /** An exception cannot pass through native frames: it waits here until the decode has returned. */
  failure: { readonly error: unknown } | undefined;

  constructor(observers: readonly Observer[], space: TensorSpace, isCancelled: () => boolean) {
    this.#observers = observers;
    this.#space = space;
    this.#isCancelled = isCancelled;
  }

  /** The callback. Asked: whether the node is wanted. Otherwise: whether to go on. */
  evaluate(address: Address, ask: boolean): boolean {
    if (this.failure) {
      return false;
    }
    try {
      const node = this.#space.at(address);
      if (ask) {
        return this.#ask(node);
      }
      let stops = false;
      for (const observer of this.#interested) {
        stops = observer.observe(node) === "stop" || stops;
      }
      return !stops && !this.#isCancelled();
    } catch (error) {
      this.failure = { error };
      return false;
    }
  }

  #ask(node: NativeTensor): boolean {
    const candidates = this.#candidates(node);
    if (candidates.length === 0) {
      return false;
    }
    this.#interested = candidates.filter((observer) => observer.wants(node));
    return this.#interested.length > 0;
  }

  #candidates(node: NativeTensor): readonly Observer[] {
    const number = node.operationNumber;
    let candidates = this.#byOperation.get(number);
    if (!candidates) {
      const name = node.operation;
      candidates = this.#observers.filter(({ operations }) => operations?.includes(name) ?? true);
      this.#byOperation.set(number, candidates);
    }
    return candidates;
  }
}
