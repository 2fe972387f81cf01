/**
 * Vectors that entered the experts of a layer, one for each token, kept in whole numbers: each channel is divided by
 * its root mean square first, so that no channel outweighs the others, and the largest value of a row is its scale.
 * An error of half a step acts on second moments like a small ridge.
 */

/** Bits of a kept value. */
export type KeptBits = 8 | 4;

/** Tokens of a text, in order. Arrays are best in shared memory, so that threads need no copies. */
export interface KeptRows {
  /** Length of a vector: even. */
  readonly columns: number;
  readonly bits: KeptBits;
  readonly tokens: number;
  /** Row after row: int8, or two values in a byte, the first in the low half, raised by 8. */
  readonly codes: Uint8Array;
  /** One for each row. */
  readonly scales: Float32Array;
  /** One for each column. */
  readonly channels: Float32Array;
  /** Experts that a token is sent to. */
  readonly slots: number;
  /** Token after token: the experts, and what their outputs are multiplied by. */
  readonly experts: Uint16Array;
  readonly weights: Float32Array;
  /** For each expert: the sum of the squares of what entered its down matrix. */
  readonly hidden: Float32Array;
}

/** Largest code by bits. */
const largestCode = { 8: 127, 4: 7 } as const;

/** Bytes of a row. */
export function keptRowBytes(columns: number, bits: KeptBits): number {
  return (columns * bits) / 8;
}

/**
 * Scales of channels from some vectors, one after the other: their root mean squares. A channel that is silent in them
 * gets a thousandth of the mean, as it may be heard later.
 */
export function channelScales(vectors: Float32Array, columns: number): Float32Array {
  const squares = new Float64Array(columns);
  const count = Math.max(1, vectors.length / columns);
  for (let i = 0; i < vectors.length; i++) {
    squares[i % columns]! += vectors[i]! ** 2;
  }
  const roots = Float32Array.from(squares, (sum) => Math.sqrt(sum / count));
  const mean = roots.reduce((sum, root) => sum + root, 0) / columns;
  return roots.map((root) => Math.max(root, mean / 1000) || 1);
}

/** Writes the codes of a vector to `out` at `at`; returns the row's scale. */
export function keepRow(
  vector: Float32Array,
  channels: Float32Array,
  bits: KeptBits,
  out: Uint8Array,
  at: number,
): number {
  const columns = channels.length;
  let largest = 0;
  for (let i = 0; i < columns; i++) {
    largest = Math.max(largest, Math.abs(vector[i]! / channels[i]!));
  }
  const scale = Math.fround(largest / largestCode[bits]);
  const inverse = scale > 0 ? 1 / scale : 0;
  if (bits === 8) {
    for (let i = 0; i < columns; i++) {
      out[at + i] = Math.round((vector[i]! / channels[i]!) * inverse);
    }
  } else {
    for (let i = 0; i < columns; i += 2) {
      const low = Math.round((vector[i]! / channels[i]!) * inverse) + 8;
      const high = Math.round((vector[i + 1]! / channels[i + 1]!) * inverse) + 8;
      out[at + i / 2] = low | (high << 4);
    }
  }
  return scale;
}

/** Writes `factor` times the vector of a token to `out`. */
export function readKeptRow(rows: KeptRows, token: number, factor: number, out: Float32Array): void {
  const { columns, bits, codes, channels } = rows;
  const scale = factor * rows.scales[token]!;
  const at = token * keptRowBytes(columns, bits);
  if (bits === 8) {
    for (let i = 0; i < columns; i++) {
      out[i] = ((codes[at + i]! << 24) >> 24) * scale * channels[i]!;
    }
    return;
  }
  for (let i = 0; i < columns; i += 2) {
    const code = codes[at + i / 2]!;
    out[i] = ((code & 15) - 8) * scale * channels[i]!;
    out[i + 1] = ((code >> 4) - 8) * scale * channels[i + 1]!;
  }
}

/** Writes the codes of a token to every fourth pair of int16 from `at` on: as one of four rows packed in pairs. */
export function packKeptCodes(rows: KeptRows, token: number, out: Int16Array, at: number): void {
  const { columns, bits, codes } = rows;
  const from = token * keptRowBytes(columns, bits);
  for (let i = 0; i < columns; i += 2) {
    const to = at + 4 * i;
    if (bits === 8) {
      out[to] = (codes[from + i]! << 24) >> 24;
      out[to + 1] = (codes[from + i + 1]! << 24) >> 24;
    } else {
      const code = codes[from + i / 2]!;
      out[to] = (code & 15) - 8;
      out[to + 1] = (code >> 4) - 8;
    }
  }
}
