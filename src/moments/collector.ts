/** Shows a pool of accumulators the inputs of weights while a model computes. */

import { operandOf, weightName } from "../activations/operands.js";
import { RouterWeights } from "../activations/router-weights.js";
import type { Observer } from "../engine/observer.js";
import type { NativeTensor } from "../engine/tensor.js";
import { InternalError } from "../errors.js";
import type { AccumulatorPool } from "./accumulator-pool.js";
import type { PlannedInput } from "./plan.js";

/**
 * Vectors are weighted by the square of the router's weight for the expert: an error of the expert's output counts
 * that much in the layer's output. (A layer's pooled input counts as often as it is routed.) Where the graph does
 * not show the router's weights, all count alike.
 */
export class MomentsCollector implements Observer {
  readonly operations = ["MUL_MAT", "MUL_MAT_ID", ...RouterWeights.operations];
  readonly #byWeight: ReadonlyMap<string, PlannedInput>;
  readonly #router = new RouterWeights();

  readonly #pool: Pick<AccumulatorPool, "begin" | "add" | "deliver">;

  constructor(inputs: readonly PlannedInput[], pool: Pick<AccumulatorPool, "begin" | "add" | "deliver">) {
    this.#pool = pool;
    this.#byWeight = new Map(inputs.map((input) => [input.weight, input]));
  }

  wants(node: NativeTensor): boolean {
    if (node.operation !== "MUL_MAT" && node.operation !== "MUL_MAT_ID") {
      return this.#router.wants(node);
    }
    return this.#byWeight.has(weightName(operandOf(node, 0)));
  }

  observe(node: NativeTensor): void {
    if (node.operation === "MUL_MAT_ID") {
      this.#addRouted(node);
    } else if (node.operation === "MUL_MAT") {
      this.#addDense(node);
    } else {
      this.#router.note(node);
    }
    this.#pool.deliver();
  }

  /** A product with one matrix per expert: input [in, slots or 1, tokens], choice [slots, tokens]. */
  #addRouted(node: NativeTensor): void {
    const [input, choice] = [operandOf(node, 1), operandOf(node, 2)];
    const planned = this.#plannedFor(node);
    const { name, matrices } = planned;
    const [, inputSlots, tokens] = input.shape;
    const [slots] = choice.shape;
    const rows = input.float32();
    const choices = choice.int32();
    const [slotStride, tokenStride] = [input.strides[1] / 4, input.strides[2] / 4];
    const [choiceStride, choiceTokenStride] = [choice.strides[0] / 4, choice.strides[1] / 4];
    const weights = this.#router.of(planned.weight, slots * tokens);
    const weightOf = (token: number, slot: number) => weights?.[token * slots + slot] ?? 1;

    if (matrices === 1) {
      if (inputSlots !== 1) {
        throw new InternalError(`"${node.name}" has an input per expert, which was not planned.`);
      }
      this.#pool.begin(name, 0, tokens);
      for (let token = 0; token < tokens; token++) {
        let square = 0;
        for (let slot = 0; slot < slots; slot++) {
          square += weightOf(token, slot) ** 2;
        }
        this.#pool.add(rows, token * tokenStride, Math.sqrt(square));
      }
      return;
    }
    const places: { token: number; slot: number }[][] = Array.from({ length: matrices }, () => []);
    for (let token = 0; token < tokens; token++) {
      for (let slot = 0; slot < slots; slot++) {
        const expert = choices[token * choiceTokenStride + slot * choiceStride] ?? -1;
        const chosen = places[expert];
        if (chosen === undefined) {
          throw new InternalError(`"${node.name}" asks for expert ${expert} of ${matrices}.`);
        }
        chosen.push({ token, slot });
      }
    }
    for (const [expert, chosen] of places.entries()) {
      if (chosen.length === 0) {
        continue;
      }
      this.#pool.begin(name, expert, chosen.length);
      for (const { token, slot } of chosen) {
        const start = token * tokenStride + (slot % inputSlots) * slotStride;
        this.#pool.add(rows, start, weightOf(token, slot));
      }
    }
  }

  #addDense(node: NativeTensor): void {
    const planned = this.#plannedFor(node);
    const input = operandOf(node, 1);
    const [, rowCount, outer, outermost] = input.shape;
    const rows = input.float32();
    const [, rowStride, outerStride, outermostStride] = input.strides;
    for (let l = 0; l < outermost; l++) {
      for (let k = 0; k < outer; k++) {
        // Of several matrices, one for each head for example, each has inputs of its own.
        this.#pool.begin(planned.name, k % planned.matrices, rowCount);
        for (let row = 0; row < rowCount; row++) {
          this.#pool.add(rows, (row * rowStride + k * outerStride + l * outermostStride) / 4, 1);
        }
      }
    }
  }

  #plannedFor(node: NativeTensor): PlannedInput {
    const name = weightName(operandOf(node, 0));
    const planned = this.#byWeight.get(name);
    if (planned === undefined) {
      throw new InternalError(`the input of "${name}" was not asked for.`);
    }
    return planned;
  }
}
