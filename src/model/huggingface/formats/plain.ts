/** Tensors of unpacked numbers: F32, F16, BF16, and whole numbers, which tables of ids are made of. */
import type { TypeName } from "../../../quants/types.js";
import type { SafetensorsTensor } from "../../../safetensors/header.js";
import { bytesPerRow } from "../rows.js";
import { failTensor, rowsAndColumns, type StoredTensor } from "./stored-tensor.js";

const plainTypes: ReadonlyMap<string, TypeName & StoredTensor["format"]> = new Map([
  ["F32", "F32"],
  ["F16", "F16"],
  ["BF16", "BF16"],
  ["I32", "I32"],
]);

/** Reads a tensor of plain numbers; undefined if it is of another kind. */
export function plainTensor(tensor: SafetensorsTensor): StoredTensor | undefined {
  const { source, name, shape, offset, dtype } = tensor;
  if (dtype === "I64") {
    return idTable(tensor);
  }
  const type = plainTypes.get(dtype);
  if (type === undefined) {
    return undefined;
  }
  const { rows, columns } = rowsAndColumns(shape);
  const stride = bytesPerRow({ type, columns });
  const read = (first: number, count: number) => source.read(offset + first * stride, count * stride);
  return {
    name,
    file: source.name,
    shape,
    format: type,
    bytes: tensor.byteLength,
    rows,
    columns,
    type,
    read,
  };
}

/** Ids that are stored with 64 bits, read with the 32 that GGUF tables have. */
function idTable(tensor: SafetensorsTensor): StoredTensor {
  const { source, name, shape, offset } = tensor;
  const { rows, columns } = rowsAndColumns(shape);
  return {
    name,
    file: source.name,
    shape,
    format: "I32",
    bytes: tensor.byteLength,
    rows,
    columns,
    type: "I32",
    async read(first, count) {
      const bytes = await source.read(offset + 8 * first * columns, 8 * count * columns);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const ids = new Int32Array(count * columns);
      for (let index = 0; index < ids.length; index++) {
        const id = Number(view.getBigInt64(8 * index, true));
        if (id !== (id | 0)) {
          failTensor(tensor, `has the number ${id}, which does not fit 32 bits`);
        }
        ids[index] = id;
      }
      return new Uint8Array(ids.buffer);
    },
  };
}
