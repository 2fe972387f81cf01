/** How several formats lay small numbers into bytes. `number(i)` is the number of weight i of the (super)block. */

/** 32 four-bit numbers: weights 0 to 15 in the low nibbles, 16 to 31 in the high ones. */
export function packNibbles(number: (i: number) => number, out: Uint8Array, at: number): void {
  for (let j = 0; j < 16; j++) {
    out[at + j] = (number(j) & 15) | ((number(j + 16) & 15) << 4);
  }
}

/** The fifth bits of 32 numbers, bit i for weight i. */
export function packFifthBits(number: (i: number) => number, out: Uint8Array, at: number): void {
  for (let j = 0; j < 4; j++) {
    let bits = 0;
    for (let i = 0; i < 8; i++) {
      bits |= ((number(8 * j + i) >> 4) & 1) << i;
    }
    out[at + j] = bits;
  }
}

/** The lower two bits of 256 numbers: byte l of each half of 32 bytes, bits 2k, is weight 128 half + 32 k + l. */
export function packTwoBits(number: (i: number) => number, out: Uint8Array, at: number): void {
  for (let j = 0; j < 64; j++) {
    const i = 128 * (j >> 5) + (j & 31);
    let byte = 0;
    for (let k = 0; k < 4; k++) {
      byte |= (number(i + 32 * k) & 3) << (2 * k);
    }
    out[at + j] = byte;
  }
}

/** The lower nibbles of 256 numbers: byte l of quarter j has weight 64 j + l below, 64 j + 32 + l above. */
export function packQuarterNibbles(number: (i: number) => number, out: Uint8Array, at: number): void {
  for (let j = 0; j < 128; j++) {
    const i = 64 * (j >> 5) + (j & 31);
    out[at + j] = (number(i) & 15) | ((number(i + 32) & 15) << 4);
  }
}
