/** A model whose rows are multiplied by factors while they are read. */
import type { SourceTensor } from "../model/source.js";
import { multiplyRows } from "../quants/half-scales.js";

/** The tensor as it is where there are no factors for it; otherwise one factor for each row. */
export function withFactors(tensor: SourceTensor, factors: Float32Array | undefined): SourceTensor {
  if (factors === undefined) {
    return tensor;
  }
  return {
    ...tensor,
    readRows: async (first, count) => {
      const bytes = (await tensor.readRows(first, count)).slice();
      multiplyRows(tensor.type, bytes, tensor.shape[0] ?? 1, factors.subarray(first, first + count));
      return bytes;
    },
  };
}
