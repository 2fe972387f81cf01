/** What enters the routed experts of a layer, as the product with their weights shows it: one vector for each token. */
import type { NativeTensor } from "../engine/tensor.js";
import { InternalError, UsageError } from "../errors.js";
import { operandOf } from "./operands.js";

/** Sizes of a layer's experts. */
export interface RoutedShape {
  /** Weight whose product is watched, of gate or up, as messages call it. */
  readonly weight: string;
  /** Length of a vector. */
  readonly columns: number;
  readonly experts: number;
  /** Experts that a token is sent to. */
  readonly slots: number;
}

export interface RoutedInput {
  /** Token after token; a view of native memory unless the vectors lie apart there. */
  readonly vectors: Float32Array;
  /** Token after token, its experts. */
  readonly experts: Uint16Array;
}

/**
 * Reads a product (`MUL_MAT_ID`): its input [columns, 1, tokens], its choice [slots, tokens]. Throws a UsageError if the
 * experts of a token do not share one input.
 */
export function routedInputOf(
  node: NativeTensor,
  { weight, columns, experts, slots }: RoutedShape,
): RoutedInput {
  const [input, choice] = [operandOf(node, 1), operandOf(node, 2)];
  const [, inputSlots, tokens] = input.shape;
  if (choice.shape[0] !== slots || (inputSlots !== 1 && slots !== 1)) {
    throw new UsageError(
      `"${weight}": its experts do not share one input of ${slots} experts a token, so that it cannot be kept; collect matrices in place of activations (\`moments\`).`,
      { tensor: weight },
    );
  }
  const choices = choice.int32();
  const [slotStride, tokenStride] = [choice.strides[0] / 4, choice.strides[1] / 4];
  const chosen = Uint16Array.from({ length: tokens * slots }, (_, at) => {
    const expert = choices[Math.floor(at / slots) * tokenStride + (at % slots) * slotStride] ?? -1;
    if (expert < 0 || expert >= experts) {
      throw new InternalError(`"${weight}" is asked for expert ${expert} of ${experts}.`);
    }
    return expert;
  });
  return {
    vectors: contiguous(input.float32(), columns, tokens, input.strides[2] / 4),
    experts: chosen,
  };
}

function contiguous(values: Float32Array, columns: number, rows: number, stride: number): Float32Array {
  if (stride === columns) {
    return values.subarray(0, rows * columns);
  }
  const copy = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    copy.set(values.subarray(row * stride, row * stride + columns), row * columns);
  }
  return copy;
}
