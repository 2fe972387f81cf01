/**
 * Symmetric matrices as they are kept: the upper triangle, row after row; row i has the columns from i on. Sizes
 * are plain numbers, as the offsets of large matrices exceed 32 bits.
 */

/** Values of a packed matrix of n rows. */
export function packedLength(n: number): number {
  return (n * (n + 1)) / 2;
}

/** Where row i begins. */
export function packedRow(n: number, i: number): number {
  return i * n - (i * (i - 1)) / 2;
}

/** The whole matrix, row after row. */
export function unpackSymmetric(packed: Float32Array, n: number): Float32Array {
  const full = new Float32Array(n * n);
  for (let i = 0, at = 0; i < n; i++) {
    for (let j = i; j < n; j++, at++) {
      const value = packed[at] as number;
      full[i * n + j] = value;
      full[j * n + i] = value;
    }
  }
  return full;
}

/** The upper triangle of the whole matrix, row after row; zeros below. */
export function unpackUpper(packed: Float32Array, n: number): Float32Array {
  const full = new Float32Array(n * n);
  for (let i = 0, at = 0; i < n; at += n - i, i++) {
    full.set(packed.subarray(at, at + n - i), i * n + i);
  }
  return full;
}
