/** The variables that a part of a template sees: its own, then those around it. */
import { Undefined, type Value } from "./values.js";

export class Scope {
  readonly #outer: Scope | undefined;
  readonly #values: Map<string, Value>;

  constructor(outer: Scope | undefined, values = new Map<string, Value>()) {
    this.#outer = outer;
    this.#values = values;
  }

  set(name: string, value: Value): void {
    this.#values.set(name, value);
  }

  get(name: string): Value {
    for (let scope: Scope | undefined = this; scope; scope = scope.#outer) {
      const value = scope.#values.get(name);
      if (value !== undefined) {
        return value;
      }
    }
    return new Undefined(`'${name}' is undefined`);
  }
}
