// Bit masks of eight weights as ternary digits: what numbers the patterns of their three levels. A pattern's number is the
// sum for the weights of level 1 or 2 and for those of level 2.

/** u16[256]: the sum of 3^i over the bits i that are set. */
export const TERNARY: usize = memory.data(512, 16);

export function fill_ternary(): void {
  for (let mask: i32 = 0; mask < 256; mask++) {
    let sum = 0;
    let power = 1;
    for (let i: i32 = 0; i < 8; i++) {
      if ((mask >> i) & 1) sum += power;
      power *= 3;
    }
    store<u16>(<usize>mask << 1, sum, TERNARY);
  }
}
