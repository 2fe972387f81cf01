/** Looks at stored rows for themselves, without anything to compare them with. */
import { InternalError } from "../errors.js";
import { decodeFinite } from "./transcode.js";
import { rowBytes, type TypeName, traitsOf } from "./types.js";
import type { Workspace } from "./workspace.js";

export interface StoredSlice {
  /** What to call the tensor in a message. */
  readonly label: string;
  /** Number of the slice's first row in what the label names, for messages. */
  readonly firstRow: number;
  readonly sourceType: TypeName;
  /** Weights per row. */
  readonly columns: number;
  /** Whole rows. */
  readonly source: Uint8Array;
}

export interface Survey {
  /** Blocks of the type; rows, if the type has no scales. */
  readonly blocks: number;
  /** Those of them in which all weights are zero: their scale is, or nothing was there to be scaled. */
  readonly zeroBlocks: number;
}

/**
 * Decodes all blocks and counts those that are zero. Throws a MalformedInputError that names the row if a scale
 * or a weight is not finite.
 */
export function survey(slice: StoredSlice, workspace: Workspace): Survey {
  const { sourceType, columns, source } = slice;
  const stride = rowBytes(sourceType, columns);
  const rows = source.byteLength / stride;
  if (!Number.isInteger(rows)) {
    throw new InternalError(
      `${slice.label}: ${source.byteLength} bytes are not whole rows of ${stride} bytes.`,
    );
  }
  const { quantized, blockSize } = traitsOf(sourceType);
  const blockLength = quantized ? blockSize : columns;
  let zeroBlocks = 0;
  decodeFinite(slice, workspace, (weights) => {
    zeroBlocks += countZeroBlocks(weights, blockLength);
  });
  return { blocks: (rows * columns) / blockLength, zeroBlocks };
}

function countZeroBlocks(weights: Float32Array, blockLength: number): number {
  let count = 0;
  for (let start = 0; start < weights.length; start += blockLength) {
    let i = start;
    while (i < start + blockLength && weights[i] === 0) {
      i++;
    }
    if (i === start + blockLength) {
      count++;
    }
  }
  return count;
}
