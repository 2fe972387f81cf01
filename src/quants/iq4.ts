/**
 * Four-bit codes of unequally spaced levels.
 *
 *     IQ4_NL  blocks of 32: d, 16 bytes of codes                          weight = d level
 *     IQ4_XS  superblocks of 256: d, 16 bits of upper scale bits, 4 bytes
 *             of lower nibbles, 128 bytes of codes; 8 blocks of 32        weight = d (scale - 32) level
 *
 * Byte j of a block's codes holds weight j in its low nibble and weight j + 16 in its high one.
 * Layouts: llama.cpp `ggml/src/ggml-common.h`; levels: `kvalues_iq4nl` there.
 */
import { blockDecoder } from "./block.js";
import { readF16, readU16 } from "./half.js";
import { clamp, nearestInteger } from "./lanes.js";

/** The sixteen levels, ascending. */
export const iq4Levels = Int8Array.of(
  -127,
  -104,
  -83,
  -65,
  -49,
  -35,
  -22,
  -10,
  1,
  13,
  25,
  38,
  53,
  69,
  89,
  113,
);

/** The code of each level. */
export const iq4Codes: ReadonlyMap<number, number> = new Map(
  Array.from(iq4Levels, (level, code) => [level, code]),
);

/** Nearest level by twice the quotient, rounded down, plus 256: all midpoints between levels are multiples of 1/2. */
export const iq4NearestLevels = Int8Array.from({ length: 512 }, (_, place) => {
  const quotient = (place - 256 + 0.5) / 2;
  return iq4Levels.reduce((best, level) =>
    Math.abs(level - quotient) < Math.abs(best - quotient) ? level : best,
  );
});

/** The codes of these levels. */
export const iq4NearestCodes = Uint8Array.from(iq4NearestLevels, (level) => iq4Codes.get(level)!);

/** The level nearestInteger to a quotient. */
export function nearestIQ4Level(quotient: number): number {
  const place = clamp(nearestInteger(Math.fround(Math.fround(2 * quotient) + 255.5)), 0, 511);
  return iq4NearestLevels[place]!;
}

function decodeCodes(bytes: Uint8Array, at: number, scale: number, out: Float32Array, to: number): void {
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + j]!;
    out[to + j] = scale * iq4Levels[pair & 15]!;
    out[to + 16 + j] = scale * iq4Levels[pair >> 4]!;
  }
}

export const decodeIQ4_NL = blockDecoder(32, 18, (bytes, at, out, to) => {
  decodeCodes(bytes, at + 2, readF16(bytes, at), out, to);
});

export const decodeIQ4_XS = blockDecoder(256, 136, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  const upper = readU16(bytes, at + 2);
  for (let block = 0; block < 8; block++) {
    const low = (bytes[at + 4 + (block >> 1)]! >> (4 * (block & 1))) & 15;
    const scale = low | (((upper >> (2 * block)) & 3) << 4);
    decodeCodes(bytes, at + 8 + 16 * block, d * (scale - 32), out, to + 32 * block);
  }
});
