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
      const [stored, factors, zeros, groupOf] = await Promise.all([
        readWords(packed, first * words, count * words),
        scales.read(scale),
        zeroPoint && readWords(zeroPoint, 0, zeroRows * groups),
        groupIndex && readGroups(groupIndex, columns, groups),
      ]);
      const codes = unpacked(stored, bits);
      const out = new Float32Array(count * columns);
      const offsets = new Float64Array(groups).fill(2 ** (bits - 1));
      for (let row = 0; row < count; row++) {
        const tensorRow = first + row;
        if (zeros) {
          const firstWord = Math.floor(tensorRow / perWord) * groups;
          const shift = (tensorRow % perWord) * bits;
          for (let group = 0; group < groups; group++) {
            offsets[group] = ((zeros[firstWord + group] as number) >>> shift) & mask;
          }
        }
        const ofRow = factors.subarray(tensorRow * groups, (tensorRow + 1) * groups);
        const [start, end] = [row * columns, (row + 1) * columns];
        decodeRow(codes.subarray(start, end), { offsets, factors: ofRow, groupOf }, out.subarray(start, end));
      }
      return floatBytes(out);
    },
  };
}

/** What the codes of a row mean: offset and scale of each group, and the group of each column if they are no runs. */
interface RowGroups {
  readonly offsets: Float64Array;
  readonly factors: Float32Array;
  readonly groupOf: Int32Array | undefined;
}

function decodeRow(codes: Uint8Array, { offsets, factors, groupOf }: RowGroups, out: Float32Array): void {
  if (groupOf) {
    for (let column = 0; column < out.length; column++) {
      const group = groupOf[column] as number;
      out[column] = ((codes[column] as number) - (offsets[group] as number)) * (factors[group] as number);
    }
    return;
  }
  const groupSize = out.length / factors.length;
  for (let group = 0, column = 0; group < factors.length; group++) {
    const offset = offsets[group] as number;
    const factor = factors[group] as number;
    for (const end = column + groupSize; column < end; column++) {
      out[column] = ((codes[column] as number) - offset) * factor;
    }
  }
}

/** The codes of words, the lowest bits first: on little-endian machines those of their bytes in order. */
export function unpacked(words: Int32Array, bits: 4 | 8): Uint8Array {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  if (bits === 8) {
    return bytes;
  }
  const codes = new Uint8Array(2 * bytes.length);
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index] as number;
    codes[2 * index] = byte & 15;
    codes[2 * index + 1] = byte >> 4;
  }
  return codes;
}

/** Reads the group of each input. Throws a MalformedInputError if there is no such group. */
export async function readGroups(
  tensor: SafetensorsTensor,
  inputs: number,
  groups: number,
): Promise<Int32Array> {
  const groupOf = await readWords(tensor, 0, inputs);
  const input = groupOf.findIndex((group) => group < 0 || group >= groups);
  if (input >= 0) {
    failTensor(tensor, `has the group ${groupOf[input]} for input ${input}, but there are ${groups}`);
  }
  return groupOf;
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
