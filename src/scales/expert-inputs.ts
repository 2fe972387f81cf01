/** Keeps what enters a layer's routed experts, in the order of the text, and where each token is sent. */
import { MicroBatches } from "../activations/micro-batches.js";
import { operandOf, weightName } from "../activations/operands.js";
import { type RoutedShape, routedInputOf } from "../activations/routed-input.js";
import { RouterWeights } from "../activations/router-weights.js";
import type { Observer } from "../engine/observer.js";
import type { NativeTensor } from "../engine/tensor.js";
import { InternalError } from "../errors.js";
import type { LayerTokens } from "../quants/output-aware/scale-steps.js";
import type { ChunkBatch } from "../text/chunks.js";
import { sharedFloats } from "../threads/shared.js";

/** The tokens of a layer and where each is sent: token after token, its experts. */
export interface RoutedTokens extends LayerTokens {
  readonly experts: Uint16Array;
}

/**
 * Room for a text of so many tokens. Take it once for all layers: a gigabyte of the layer before might not be free yet.
 */
export function routedTokensOf(
  { columns, slots }: Pick<RoutedShape, "columns" | "slots">,
  tokens: number,
): RoutedTokens {
  return {
    columns,
    slots,
    inputs: sharedFloats(tokens * columns),
    residual: sharedFloats(tokens * columns),
    factors: sharedFloats(tokens),
    weights: sharedFloats(tokens * slots),
    experts: new Uint16Array(tokens * slots),
  };
}

export class ExpertInputs implements Observer {
  readonly operations = ["MUL_MAT_ID", ...RouterWeights.operations];
  readonly #router = new RouterWeights();
  readonly #shape: RoutedShape;
  readonly #kept: Pick<RoutedTokens, "inputs" | "weights" | "experts">;
  readonly #microBatches = new MicroBatches();
  #isWatching = false;

  /** The shape's weight has the name that the window gives it. */
  constructor(shape: RoutedShape, kept: Pick<RoutedTokens, "inputs" | "weights" | "experts">) {
    this.#shape = shape;
    this.#kept = kept;
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
      this.#kept.inputs.set(vectors.subarray(row * columns, (row + count) * columns), token * columns);
      this.#kept.experts.set(experts.subarray(row * slots, (row + count) * slots), token * slots);
      this.#kept.weights.set(weights.subarray(row * slots, (row + count) * slots), token * slots);
    }
  }
}
