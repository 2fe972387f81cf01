/** The stored weights of a layer's experts, in the model that is loaded. */
import { raiseLayer } from "../activations/operands.js";
import type { OpenWindow } from "../activations/sweep.js";
import { InternalError } from "../errors.js";
import { multiplyRows } from "../quants/half-scales.js";
import type { StoredExpert } from "../quants/output-aware/scale-steps.js";
import { rowBytes } from "../quants/types.js";
import { sharedBytes } from "../threads/shared.js";
import type { ExpertRowsIn, FittedLayer } from "./fitted-layers.js";

export class LayerWeights {
  readonly #opened: OpenWindow;
  readonly #layer: FittedLayer;
  /** Those that are computed with, until they are multiplied: then copies. */
  readonly #stored: Map<string, Uint8Array>;
  /** One expert's. */
  readonly #shared: Readonly<Record<"gate" | "up" | "down", Uint8Array>>;

  constructor(opened: OpenWindow, layer: FittedLayer) {
    const { gate, up, down } = layer;
    this.#opened = opened;
    this.#layer = layer;
    const weights = opened.model.weights();
    const bytesOf = (rows: ExpertRowsIn) => {
      const weight = weights.get(inWindow(rows, layer.layer));
      if (weight === undefined) {
        throw new InternalError(`"${rows.tensor}" is not among the weights that are computed with.`);
      }
      return weight.bytes();
    };
    const room = ({ type, columns, count }: ExpertRowsIn) => sharedBytes(count * rowBytes(type, columns));
    this.#shared = { gate: room(gate), up: room(up), down: room(down) };
    this.#stored = new Map([gate, up, down].map((rows) => [rows.tensor, bytesOf(rows)]));
  }

  /** In shared memory, which the next one's take. */
  expert(expert: number): StoredExpert {
    const part = ({ tensor, type, columns, rows, first, count }: ExpertRowsIn, bytes: Uint8Array) => {
      const stride = rowBytes(type, columns);
      const begin = (expert * rows + first) * stride;
      bytes.set(this.#of(tensor).subarray(begin, begin + count * stride));
      return { type, bytes };
    };
    const { gate, up, down } = this.#layer;
    const shared = this.#shared;
    return {
      width: gate.count,
      gate: part(gate, shared.gate),
      up: part(up, shared.up),
      down: part(down, shared.down),
    };
  }

  /** Has the model compute with rows multiplied. */
  multiply(factors: Readonly<Record<string, Float32Array>>): void {
    for (const { tensor, type, columns } of this.#fitted()) {
      const stored = this.#of(tensor).slice();
      this.#stored.set(tensor, stored);
      const bytes = stored.slice();
      multiplyRows(type, bytes, columns, factors[tensor] ?? new Float32Array());
      this.#write(tensor, bytes);
    }
  }

  /** Has it compute with what is stored. */
  restore(): void {
    for (const { tensor } of this.#fitted()) {
      this.#write(tensor, this.#of(tensor));
    }
  }

  #fitted(): ExpertRowsIn[] {
    const { gate, up } = this.#layer;
    return gate.tensor === up.tensor ? [gate] : [gate, up];
  }

  #of(tensor: string): Uint8Array {
    return this.#stored.get(tensor) ?? new Uint8Array();
  }

  #write(tensor: string, bytes: Uint8Array): void {
    this.#opened.model.writeWeight(raiseLayer(tensor, -this.#layer.layer), bytes);
  }
}

/** A tensor's name in the window of its layer. */
export function inWindow({ tensor }: ExpertRowsIn, layer: number): string {
  return raiseLayer(tensor, -layer);
}
