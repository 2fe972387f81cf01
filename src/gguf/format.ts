/**
 * The fixed facts of the GGUF file format. Layout: llama.cpp `docs/gguf.md` and `ggml/src/gguf.cpp`; all
 * numbers are little-endian.
 *
 * ```
 * "GGUF", uint32 version, uint64 tensor count, uint64 key count
 * keys:    string key, uint32 value type, value
 * tensors: string name, uint32 dimensions, uint64 size of each (row length first), uint32 type, uint64 offset
 * padding to the alignment, then the tensors' data; offsets count from here and are aligned too
 * ```
 * A string is a uint64 length and that many bytes of UTF-8; an array is a uint32 item type, a uint64 count
 * and the items. Versions 2 and 3 are laid out alike (3 only allows big-endian files besides).
 */
import { metadataTypes } from "./metadata.js";

/** First four bytes of every GGUF file. */
export const magic = "GGUF";

/** The version we write. */
export const currentVersion = 3;

/** Alignment of files that have no `general.alignment`. */
export const defaultAlignment = 32;

export const alignmentKey = "general.alignment";

/** Most dimensions a tensor can have (`GGML_MAX_DIMS`). */
export const maxDimensions = 4;

/** Arrays may hold arrays, this many levels deep in all. llama.cpp itself reads only one level. */
export const maxArrayDepth = 4;

/** Number of a value type in the file. */
export const metadataTypeIds = Object.fromEntries(metadataTypes.map((type, id) => [type, id])) as Readonly<
  Record<(typeof metadataTypes)[number], number>
>;

/** The next multiple of `alignment` from `offset` on. Not by bits: sizes exceed 32 bits. */
export function padTo(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

/** Whether `alignment` is one that llama.cpp accepts: a power of two that fits in 32 bits. */
export function isAlignment(alignment: number): boolean {
  return alignment >= 1 && alignment < 2 ** 32 && 2 ** Math.round(Math.log2(alignment)) === alignment;
}
