/**
 * FP8 weights with scales: one for a tensor, for each row (channel), or for blocks of rows and columns, whose last
 * ones may be partial. A weight is value x scale, rounded to float32 once, as llama.cpp's converter has it.
 */
import type { SafetensorsTensor } from "../../../safetensors/header.js";
import { floatBytes } from "../rows.js";
import { e4m3Values, e5m2Values } from "./eight-bit-floats.js";
import type { ScaleReader } from "./scales.js";
import { failTensor, rowsAndColumns, type StoredTensor, valueCount } from "./stored-tensor.js";

/** Rows and columns that share a scale. */
export type BlockSize = readonly [rows: number, columns: number];

/** How the scales of a tensor are laid out: those of each matrix as rows of `columns` scales. */
interface ScaleGrid {
  readonly block: BlockSize;
  readonly rows: number;
  readonly columns: number;
}

/** Whether a dtype is one of the 8-bit floats that weights are stored in. */
export function isFp8(dtype: string): boolean {
  return dtype === "F8_E4M3" || dtype === "F8_E5M2";
}

/** An FP8 tensor. Throws a MalformedInputError if its scale fits none of the known layouts. */
export function fp8Tensor(
  weight: SafetensorsTensor,
  scale: SafetensorsTensor,
  { blockSize, scales }: { readonly blockSize: BlockSize; readonly scales: ScaleReader },
): StoredTensor {
  const { rows, columns } = rowsAndColumns(weight.shape);
  const rowsPerMatrix = weight.shape.at(-2) ?? 1;
  const matrices = rows / rowsPerMatrix;
  const grid = gridOf(weight, scale, blockSize, { matrices, rows: rowsPerMatrix, columns });
  const values = weight.dtype === "F8_E4M3" ? e4m3Values : e5m2Values;
  return {
    name: weight.name,
    file: weight.source.name,
    shape: weight.shape,
    format: "FP8",
    bytes: weight.byteLength + scale.byteLength,
    rows,
    columns,
    type: "F32",
    async read(first, count) {
      const [bytes, factors] = await Promise.all([
        weight.source.read(weight.offset + first * columns, count * columns),
        scales.read(scale),
      ]);
      const out = new Float32Array(count * columns);
      for (let row = 0; row < count; row++) {
        const matrix = Math.floor((first + row) / rowsPerMatrix);
        const inMatrix = first + row - matrix * rowsPerMatrix;
        const scaleRow = matrix * grid.rows + Math.floor(inMatrix / grid.block[0]);
        const start = row * columns;
        decodeRow(bytes, values, out, { start, columns }, factors, scaleRow * grid.columns, grid.block[1]);
      }
      return floatBytes(out);
    },
  };
}

function decodeRow(
  bytes: Uint8Array,
  values: Float32Array,
  out: Float32Array,
  { start, columns }: { readonly start: number; readonly columns: number },
  factors: Float32Array,
  firstFactor: number,
  blockColumns: number,
): void {
  for (let column = 0, factor = firstFactor; column < columns; factor++) {
    const scale = factors[factor] as number;
    const end = Math.min(columns, column + blockColumns);
    for (; column < end; column++) {
      out[start + column] = (values[bytes[start + column] as number] as number) * scale;
    }
  }
}

function gridOf(
  weight: SafetensorsTensor,
  scale: SafetensorsTensor,
  blockSize: BlockSize,
  size: { readonly matrices: number; readonly rows: number; readonly columns: number },
): ScaleGrid {
  const { matrices, rows, columns } = size;
  const grids: readonly ScaleGrid[] = [
    gridFor(blockSize, rows, columns),
    gridFor([1, columns], rows, columns),
    gridFor([rows, columns], rows, columns),
  ];
  const inMatrix = scale.shape.filter((length) => length !== 1);
  for (const grid of grids) {
    const expected = [matrices, grid.rows, grid.columns].filter((length) => length !== 1);
    if (expected.join() === inMatrix.join()) {
      return grid;
    }
  }
  // One scale for all matrices of a stack.
  if (valueCount(scale.shape) === 1) {
    return { block: [Infinity, columns], rows: 0, columns: 1 };
  }
  return failTensor(
    scale,
    `has shape [${scale.shape.join(", ")}], which is neither one scale for "${weight.name}" of [${weight.shape.join(", ")}], nor one for each of its rows, nor one for each block of ${blockSize.join(" x ")}`,
  );
}

function gridFor(block: BlockSize, rows: number, columns: number): ScaleGrid {
  return { block, rows: Math.ceil(rows / block[0]), columns: Math.ceil(columns / block[1]) };
}
