/**
 * Matrices whose rows are read when they are asked for: what a tensor of a checkpoint is once its format is
 * known, and what every transformation takes and gives. Rows of all outer dimensions are counted through.
 */
import { InternalError } from "../../errors.js";
import { decodeRows } from "../../quants/codec.js";
import { rowBytes, type TypeName } from "../../quants/types.js";

export interface Rows {
  /** Weights per row. */
  readonly columns: number;
  readonly rows: number;
  /** Type of the rows as they are read. */
  readonly type: TypeName;
  /** Bytes of rows [first, first + count). */
  read(first: number, count: number): Promise<Uint8Array>;
}

/** Bytes of one row. */
export function bytesPerRow({ type, columns }: Pick<Rows, "type" | "columns">): number {
  return rowBytes(type, columns);
}

/** Throws an InternalError unless rows [first, first + count) exist. */
export function checkRows(name: string, rows: number, first: number, count: number): void {
  if (
    !Number.isInteger(first) ||
    !Number.isInteger(count) ||
    first < 0 ||
    count < 0 ||
    first + count > rows
  ) {
    throw new InternalError(
      `rows ${first} to ${first + count} of ${name} were asked for, beyond its end (${rows}).`,
    );
  }
}

/** Reads rows as float32. */
export async function readFloats(rows: Rows, first: number, count: number): Promise<Float32Array> {
  const weights = new Float32Array(count * rows.columns);
  decodeRows(rows.type, await rows.read(first, count), weights);
  return weights;
}

/** The bytes of float32 weights, little-endian as every file and every platform that Node.js runs on. */
export function floatBytes(weights: Float32Array): Uint8Array {
  return new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
}

/** The same rows as float32. */
export function widened(rows: Rows): Rows {
  if (rows.type === "F32") {
    return rows;
  }
  return {
    columns: rows.columns,
    rows: rows.rows,
    type: "F32",
    read: async (first, count) => floatBytes(await readFloats(rows, first, count)),
  };
}
