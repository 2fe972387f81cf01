/** Keeps what enters a layer's routed experts, in the order of the text, and where each token is sent. */
import { MicroBatches } from "../activations/micro-batches.js";
import { operandOf, weightName } from "../activations/operands.js";
import { type RoutedShape, routedInputOf } from "../activations/routed-input.js";
import { RouterWeights } from "../activations/router-weights.js";
import type { Observer } from "../engine/observer.js";
import type { NativeTensor } from "../engine/tensor.js";
import { InternalError } from "../errors.js";
import type { ChunkBatch } from "../text/chunks.js";

export class ExpertInputs implements Observer {
  readonly operations = ["MUL_MAT_ID", ...RouterWeights.operations];
  /** Token after token. */
  readonly inputs: Float32Array;
  readonly experts: Uint16Array;
  readonly weights: Float32Array;
  readonly #router = new RouterWeights();
  readonly #shape: RoutedShape;
  readonly #microBatches = new MicroBatches();
  #isWatching = false;

  /** For a text of so many tokens. The shape's weight has the name that the window gives it. */
  constructor(shape: RoutedShape, tokens: number) {
    this.#shape = shape;
    this.inputs = new Float32Array(tokens * shape.columns);
    this.experts = new Uint16Array(tokens * shape.slots);
    this.weights = new Float32Array(tokens * shape.slots);
  }

  /** Before a decode whose inputs are to be kept; others are not looked at. */
  begin(batch: ChunkBatch, context: number, microBatchSize: number): void {
    this.#microBatches.begin(batch, context, microBatchSize);
    this.#isWatching = true;
  }

  /** After it. Throws an InternalError if something was not seen. */
  end(): void {
    this.#isWatching = false;
    if (!this.#microBatches.isDone) {
      throw new InternalError(`"${this.#shape.weight}" was not computed.`);
    }
  }

  wants(node: NativeTensor): boolean {
    if (!this.#isWatching) {
      return false;
    }
    return node.operation === "MUL_MAT_ID"
      ? weightName(operandOf(node, 0)) === this.#shape.weight
      : this.#router.wants(node);
  }

  observe(node: NativeTensor): void {
    if (node.operation !== "MUL_MAT_ID") {
      this.#router.note(node);
      return;
    }
    const { columns, slots, weight } = this.#shape;
    const { vectors, experts } = routedInputOf(node, this.#shape);
    const weights = this.#router.of(weight, experts.length);
    if (weights === undefined) {
      throw new InternalError(`what the router weighs the experts of "${weight}" with was not seen.`);
    }
    for (const { token, count, row } of this.#microBatches.next(node.name, vectors.length / columns)) {
      this.inputs.set(vectors.subarray(row * columns, (row + count) * columns), token * columns);
      this.experts.set(experts.subarray(row * slots, (row + count) * slots), token * slots);
      this.weights.set(weights.subarray(row * slots, (row + count) * slots), token * slots);
    }
  }
}
