/**
 * A model as the pipeline sees it: GGUF metadata and tensors whose rows can be read one stretch at a time,
 * whether they lie in one GGUF file, in a split set, or in a Hugging Face folder.
 */
import type { ByteSource } from "../bytes/source.js";
import type { Metadata } from "../gguf/metadata.js";
import type { TypeName } from "../quants/types.js";

export interface SourceTensor {
  /** GGUF name. */
  readonly name: string;
  /** GGUF order: row length first. Rows of all outer dimensions are counted through: [n_in, n_out, n_expert]. */
  readonly shape: readonly number[];
  /** Type as stored. */
  readonly type: TypeName;
  /** Which of the model's files holds it, counted from 0; undefined if it is put together from several. */
  readonly file?: number | undefined;
  /** How it is stored, if in a packed form that is no type of GGUF: its rows are decoded while they are read. */
  readonly packed?: { readonly format: string; readonly bytes: number } | undefined;
  /** Bytes of rows [first, first + count), in the stored type. */
  readRows(first: number, count: number): Promise<Uint8Array>;
}

export interface ModelSource {
  /** What to call it in messages: a path or an address. */
  readonly name: string;
  readonly metadata: Metadata;
  /** In file order. */
  readonly tensors: readonly SourceTensor[];
  /** Total size of the source in bytes. */
  readonly byteLength: number;
  /** The files that hold weights, in order: what checksums of the source cover. */
  readonly files: readonly ByteSource[];
  /** What of the source is not in this model, each a sentence for the user. */
  readonly notes?: readonly string[];
  close(): Promise<void>;
}

/** Rows of a tensor: the product of all dimensions but the first. */
export function rowCount(shape: readonly number[]): number {
  return shape.slice(1).reduce((product, size) => product * size, 1);
}

/** Weights of a tensor: the product of all dimensions. */
export function weightCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
