/** A checkpoint as the file that converting makes of it, without the file: rows are converted when they are read. */
import { decodeRows, encodeRows } from "../../quants/codec.js";
import { rowBytes, type TypeName } from "../../quants/types.js";
import type { ModelSource, SourceTensor } from "../source.js";
import type { ConversionTarget } from "./conversion.js";
import type { HuggingFaceModel } from "./model.js";

/** Rows that are converted at a time have so many weights. */
const batchWeights = 65_536;

/** The model with the types and bytes of its conversion to `target`; by default what `convert --type auto` makes. */
export function asConverted(
  model: HuggingFaceModel,
  target: ConversionTarget = model.storedTarget,
): ModelSource {
  return {
    ...model,
    tensors: model.tensors.map((tensor) => converted(tensor, model.conversionType(tensor, target))),
  };
}

function converted({ packed: _, ...tensor }: SourceTensor, type: TypeName): SourceTensor {
  if (tensor.type === type) {
    return tensor;
  }
  const columns = tensor.shape[0] ?? 0;
  return {
    ...tensor,
    type,
    readRows: async (first, count) =>
      convertedRows(await tensor.readRows(first, count), tensor.type, type, columns),
  };
}

function convertedRows(bytes: Uint8Array, from: TypeName, to: TypeName, columns: number): Uint8Array {
  const [sourceRow, targetRow] = [rowBytes(from, columns), rowBytes(to, columns)];
  const rows = bytes.byteLength / sourceRow;
  const together = Math.max(1, Math.floor(batchWeights / columns));
  const out = new Uint8Array(rows * targetRow);
  const weights = new Float32Array(Math.min(rows, together) * columns);
  for (let row = 0; row < rows; row += together) {
    const end = Math.min(rows, row + together);
    const some = weights.subarray(0, (end - row) * columns);
    decodeRows(from, bytes.subarray(row * sourceRow, end * sourceRow), some);
    encodeRows(to, some, columns, undefined, out.subarray(row * targetRow, end * targetRow));
  }
  return out;
}
