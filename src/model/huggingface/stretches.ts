import { InternalError } from "../../errors.js";
import { decodeRows } from "../../quants/codec.js";
import { rowBytes, type TypeName } from "../../quants/types.js";
import type { SafetensorsTensor } from "../../safetensors/header.js";
import { rowCount, type SourceTensor } from "../source.js";
import { type ConversionTarget, conversionType } from "./conversion.js";

/** Rows [firstRow, firstRow + rows) of a tensor in a safetensors file. */
export interface RowStretch {
  readonly tensor: SafetensorsTensor;
  readonly firstRow: number;
  readonly rows: number;
}

/** A GGUF tensor whose rows are those of its stretches, one after another. All have the same dtype and row length. */
export interface StretchedTensor {
  readonly name: string;
  /** GGUF order: row length first. */
  readonly shape: readonly number[];
  readonly stretches: readonly RowStretch[];
}

/**
 * The tensor as the pipeline reads it: in the type it is stored in, except that what llama.cpp needs as float32
 * (norms, biases, routers) is widened while it is read.
 */
export function sourceTensor(tensor: StretchedTensor): SourceTensor {
  const { name, shape, stretches } = tensor;
  const columns = shape[0] ?? 0;
  const stored = stretches[0]?.tensor.dtype as ConversionTarget;
  const type: TypeName = conversionType(tensor, stored);
  const readRows = async (first: number, count: number) => {
    if (first < 0 || count < 0 || first + count > rowCount(shape)) {
      throw new InternalError(`rows ${first} to ${first + count} of ${name} were asked for, beyond its end.`);
    }
    const bytes = await readStretches(stretches, rowBytes(stored, columns), first, count);
    return type === stored ? bytes : widen(stored, bytes, count * columns);
  };
  return { name, shape, type, readRows };
}

async function readStretches(
  stretches: readonly RowStretch[],
  bytesPerRow: number,
  first: number,
  count: number,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let passed = 0;
  for (const { tensor, firstRow, rows } of stretches) {
    const from = Math.max(first, passed);
    const to = Math.min(first + count, passed + rows);
    if (from < to) {
      const offset = tensor.offset + (firstRow + from - passed) * bytesPerRow;
      parts.push(await tensor.source.read(offset, (to - from) * bytesPerRow));
    }
    passed += rows;
    if (passed >= first + count) break;
  }
  const [only] = parts;
  return parts.length === 1 && only ? only : concatenate(parts, count * bytesPerRow);
}

function concatenate(parts: readonly Uint8Array[], byteLength: number): Uint8Array {
  const out = new Uint8Array(byteLength);
  let end = 0;
  for (const part of parts) {
    out.set(part, end);
    end += part.byteLength;
  }
  return out;
}

function widen(type: TypeName, bytes: Uint8Array, count: number): Uint8Array {
  const weights = new Float32Array(count);
  decodeRows(type, bytes, weights);
  return new Uint8Array(weights.buffer);
}
