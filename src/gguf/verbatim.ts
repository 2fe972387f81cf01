/**
 * The exact bytes that a metadata value was read from. What a value looks like in JavaScript is not always all
 * that the file said: a token may be invalid UTF-8, a NaN carry a payload, a bool be the byte 2. Values are
 * immutable, so one that comes out of a file unchanged is the same object, and is written with the same bytes.
 */
import type { MetadataValue } from "./metadata.js";

const bytesOf = new WeakMap<MetadataValue, Uint8Array>();

/** Remembers the encoding (without the type number) that `value` was read from. */
export function rememberBytes(value: MetadataValue, bytes: Uint8Array): void {
  bytesOf.set(value, bytes);
}

/** The encoding that `value` was read from, or undefined if it was made in memory. */
export function rememberedBytes(value: MetadataValue): Uint8Array | undefined {
  return bytesOf.get(value);
}
