/** The variable `loop` of a template's loop. */
import { Attributes, Callable, isEqualValue, Tuple, Undefined, type Value } from "./values.js";

/** The rounds of one loop. */
export class LoopRound {
  readonly #items: readonly Value[];
  readonly #depth: number;
  readonly #again: Callable | undefined;
  #changed: Value | undefined;

  /** `again` renders the loop with other items, if it is recursive; the depth begins with 1. */
  constructor(items: readonly Value[], depth: number, again: Callable | undefined) {
    this.#items = items;
    this.#depth = depth;
    this.#again = again;
  }

  /** What `loop` is in a round, counted from 0. */
  at(index: number): Attributes {
    const rest = this.#items.length - index;
    const neighbour = (at: number, reason: string) =>
      this.#items[at] ?? (at in this.#items ? null : new Undefined(reason));
    const values = new Map<string, Value>([
      ["index", index + 1],
      ["index0", index],
      ["revindex", rest],
      ["revindex0", rest - 1],
      ["first", index === 0],
      ["last", rest === 1],
      ["length", this.#items.length],
      ["depth", this.#depth],
      ["depth0", this.#depth - 1],
      ["previtem", neighbour(index - 1, "there is no previous item")],
      ["nextitem", neighbour(index + 1, "there is no next item")],
      ["cycle", new Callable(({ positional }) => positional[index % positional.length] ?? null)],
      ["changed", new Callable(({ positional }) => this.#isChanged(Tuple.from(positional)))],
    ]);
    return new Attributes(values, this.#again);
  }

  #isChanged(value: Value): boolean {
    const isChanged = this.#changed === undefined || !isEqualValue(this.#changed, value);
    this.#changed = value;
    return isChanged;
  }
}
