/**
 * A slice of rows is the unit of work: it is read, encoded and written at once, never crosses from one expert
 * to the next, and its size depends on the tensor alone, so that the same slices arise on every machine.
 */

/** About this many weights go into a slice: 4 MB as float32, some tens of milliseconds of encoding. */
const weightsPerSlice = 1 << 20;

/** An expert's matrix of so many weights is one slice: its moments may take as long to prepare as it does to encode. */
const weightsPerExpert = 1 << 21;

export interface SliceRange {
  /** First row, counted through all experts. */
  readonly firstRow: number;
  readonly rows: number;
  /** Which matrix of the tensor the rows belong to: the expert, or 0. */
  readonly expert: number;
}

/** The slices of a tensor of this shape (row length first), in order. */
export function* slicesOf(shape: readonly number[]): Generator<SliceRange> {
  const { matrices, rowsPerMatrix, rowsPerSlice } = cut(shape);
  for (let expert = 0; expert < matrices; expert++) {
    for (let row = 0; row < rowsPerMatrix; row += rowsPerSlice) {
      const rows = Math.min(rowsPerSlice, rowsPerMatrix - row);
      yield { firstRow: expert * rowsPerMatrix + row, rows, expert };
    }
  }
}

/** A sampled slice of this many, at least one of each tensor. */
const slicesPerSample = 32;

/**
 * Whether a slice (counted from 0) of a tensor (likewise) is looked at when a sample is checked: in each tensor
 * others, so that the same few experts are not always chosen.
 */
export function isSampled(shape: readonly number[], tensor: number, slice: number): boolean {
  const stride = Math.min(slicesPerSample, sliceCount(shape));
  return slice % stride === tensor % stride;
}

/** The sampled slices of a tensor, in order. */
export function* sampledSlicesOf(shape: readonly number[], tensor: number): Generator<SliceRange> {
  let index = 0;
  for (const slice of slicesOf(shape)) {
    if (isSampled(shape, tensor, index++)) {
      yield slice;
    }
  }
}

/** The tensor's name, and for stacked experts which one, for messages. */
export function labelOf(
  { name, shape }: { readonly name: string; readonly shape: readonly number[] },
  { expert }: SliceRange,
): string {
  return shape.length > 2 ? `${name}, expert ${expert}` : name;
}

/** How many slices a tensor of this shape has. */
export function sliceCount(shape: readonly number[]): number {
  const { matrices, rowsPerMatrix, rowsPerSlice } = cut(shape);
  return matrices * Math.ceil(rowsPerMatrix / rowsPerSlice);
}

function cut([columns = 1, rowsPerMatrix = 1, ...outer]: readonly number[]) {
  const matrices = outer.reduce((product, size) => product * size, 1);
  const weights = columns * rowsPerMatrix;
  const isExpert = outer.length > 0 && weights <= weightsPerExpert;
  const count = isExpert ? 1 : Math.max(1, Math.ceil(weights / weightsPerSlice));
  return { matrices, rowsPerMatrix, rowsPerSlice: Math.ceil(rowsPerMatrix / count) };
}
