/**
 * Memory that threads share. It is no reason for V8 to collect garbage: what is large is taken once and used again.
 */

/** Zeros that every thread sees. */
export function sharedBytes(length: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(length));
}

/** Zeros that every thread sees. */
export function sharedFloats(length: number): Float32Array {
  return new Float32Array(new SharedArrayBuffer(Float32Array.BYTES_PER_ELEMENT * length));
}

/** A copy that every thread sees. */
export function sharedCopy(bytes: Uint8Array): Uint8Array {
  const copy = sharedBytes(bytes.byteLength);
  copy.set(bytes);
  return copy;
}
