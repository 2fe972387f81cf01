/** A tensor of a checkpoint whose format is known: its values can be read, however they are packed. */
import { MalformedInputError } from "../../../errors.js";
import type { SafetensorsTensor } from "../../../safetensors/header.js";
import type { Rows } from "../rows.js";

/** What the values are stored as. All but the plain types and MXFP4, which stays as it is, are read as float32. */
export type StoredFormat = "F32" | "F16" | "BF16" | "I32" | "FP8" | "MXFP4" | "NVFP4" | "INT4" | "INT8";

export interface StoredTensor extends Rows {
  /** Name without what belongs to the format: `weight` for `weight_packed` and its scales. */
  readonly name: string;
  /** The file that the values lie in, for messages. */
  readonly file: string;
  /** Outermost dimension first, as in the checkpoint. */
  readonly shape: readonly number[];
  readonly format: StoredFormat;
  /** Bytes of values and scales in the files. */
  readonly bytes: number;
}

/** How many rows and columns a shape has: the last dimension is the row. */
export function rowsAndColumns(shape: readonly number[]): {
  readonly rows: number;
  readonly columns: number;
} {
  return {
    rows: shape.slice(0, -1).reduce((product, size) => product * size, 1),
    columns: shape.at(-1) ?? 1,
  };
}

/** Number of values of a shape. */
export function valueCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Throws a MalformedInputError that names file and tensor. */
export function failTensor(
  { source, name }: Pick<SafetensorsTensor, "source" | "name">,
  problem: string,
): never {
  throw new MalformedInputError(`${source.name}: tensor "${name}" ${problem}.`, {
    file: source.name,
    tensor: name,
  });
}
