/**
 * Weights of 4 or 8 bits packed in 32-bit words along the row (compressed-tensors, "pack-quantized"): weight j of
 * a word in its bits from j x bits on. A weight is (code - offset) x the scale of its group.
 */
import type { SafetensorsTensor } from "../../../safetensors/header.js";
import { floatBytes } from "../rows.js";
import type { ScaleReader } from "./scales.js";
import { failTensor, type StoredTensor, valueCount } from "./stored-tensor.js";

export interface PackedIntegers {
  readonly packed: SafetensorsTensor;
  /** [rows, groups]. */
  readonly scale: SafetensorsTensor;
  /** [rows / words, groups], packed along the rows; without it the offset is half of the range. */
  readonly zeroPoint?: SafetensorsTensor | undefined;
  /** The group of each column, where groups are not runs of columns. */
  readonly groupIndex?: SafetensorsTensor | undefined;
  readonly bits: 4 | 8;
}

/** A tensor of packed integers called `name`, read as float32. */
export function packedIntegers(name: string, parts: PackedIntegers, scales: ScaleReader): StoredTensor {
  const { packed, scale, zeroPoint, groupIndex, bits } = parts;
  const perWord = 32 / bits;
  const [rows, words] = packed.shape;
  const [scaleRows, groups] = scale.shape.length === 1 ? [...scale.shape, 1] : scale.shape;
  if (packed.shape.length !== 2 || rows === undefined || words === undefined) {
    failTensor(packed, `has shape [${packed.shape.join(", ")}], but rows of words are expected`);
  }
  const columns = words * perWord;
  if (scaleRows !== rows || groups === undefined || groups === 0 || columns % groups !== 0) {
    failTensor(
      scale,
      `has shape [${scale.shape.join(", ")}], but "${packed.name}" of ${rows} x ${columns} weights needs a scale for each group of each row`,
    );
  }
  const zeroRows = Math.ceil(rows / perWord);
  if (zeroPoint && valueCount(zeroPoint.shape) !== zeroRows * groups) {
    failTensor(
      zeroPoint,
      `has shape [${zeroPoint.shape.join(", ")}], but [${zeroRows}, ${groups}] is expected`,
    );
  }
  if (groupIndex && valueCount(groupIndex.shape) !== columns) {
    failTensor(groupIndex, `has ${valueCount(groupIndex.shape)} values, but ${columns} are expected`);
  }
  const mask = 2 ** bits - 1;
  const groupSize = columns / groups;
  return {
    name,
    file: packed.source.name,
    shape: [rows, columns],
    format: bits === 4 ? "INT4" : "INT8",
    bytes: packed.byteLength + scale.byteLength + (zeroPoint?.byteLength ?? 0),
    rows,
    columns,
    type: "F32",
    async read(first, count) {
      const [codes, factors, zeros, groupOf] = await Promise.all([
        readWords(packed, first * words, count * words),
        scales.read(scale),
        zeroPoint && readWords(zeroPoint, 0, zeroRows * groups),
        groupIndex && readWords(groupIndex, 0, columns),
      ]);
      const out = new Float32Array(count * columns);
      for (let row = 0; row < count; row++) {
        const tensorRow = first + row;
        for (let column = 0; column < columns; column++) {
          const word = codes[row * words + Math.floor(column / perWord)] as number;
          const code = (word >>> ((column % perWord) * bits)) & mask;
          const group = groupOf ? (groupOf[column] as number) : Math.floor(column / groupSize);
          const zero = zeros?.[Math.floor(tensorRow / perWord) * groups + group];
          const offset =
            zero === undefined ? 2 ** (bits - 1) : (zero >>> ((tensorRow % perWord) * bits)) & mask;
          out[row * columns + column] = (code - offset) * (factors[tensorRow * groups + group] as number);
        }
      }
      return floatBytes(out);
    },
  };
}

/** Reads 32-bit words of a tensor. */
export async function readWords(
  tensor: SafetensorsTensor,
  first: number,
  count: number,
): Promise<Int32Array> {
  if (tensor.dtype !== "I32" && tensor.dtype !== "U32") {
    failTensor(tensor, `has dtype ${tensor.dtype}, but words of 32 bits are expected`);
  }
  const bytes = await tensor.source.read(tensor.offset + 4 * first, 4 * count);
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Int32Array(aligned.buffer, aligned.byteOffset, count);
}
