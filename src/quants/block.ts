/** What a block format is to the rest: one function that decodes a run of blocks, one that encodes a row. */
import type { Effort } from "./effort.js";

/** Decodes as many blocks as fill `out`; `bytes` holds exactly those. */
export type Decoder = (bytes: Uint8Array, out: Float32Array) => void;

/**
 * Encodes one row into `out`, which has exactly its size. Weights and importance are finite, importance is not
 * negative and has one value per weight (undefined: all weights matter alike). Rows never influence each other.
 */
export type RowEncoder = (
  row: Float32Array,
  importance: Float32Array | undefined,
  out: Uint8Array,
  effort: Effort,
) => void;

/**
 * A decoder from a function that decodes the block at `bytes[at]` to `out[to]`.
 */
export function blockDecoder(
  blockSize: number,
  blockBytes: number,
  decodeBlock: (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void,
): Decoder {
  return (bytes, out) => {
    for (let at = 0, to = 0; to < out.length; at += blockBytes, to += blockSize) {
      decodeBlock(bytes, at, out, to);
    }
  };
}
