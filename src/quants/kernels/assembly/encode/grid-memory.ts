// Encoding of the grid formats (IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S): the memory for one superblock. The
// algorithm, and why it is like this: src/quants/grid-encode.ts, which is the specification of these kernels.
//
// Everything here is float32 and relative to the superblock: weights are multiplied by a power of two that
// brings the largest magnitude into [1, 4), so that no square overflows or vanishes.

/** Weights of a superblock. */
export const SUPERBLOCK: i32 = 256;
/** Neighbouring sub-scales that are ranked before the grid is searched. */
export const RANKED: i32 = 8;
/** Pool entries of a block, at most. */
export const POOL: i32 = 12;

/** f32[256]: magnitudes; negative where the sign bit is wrong on purpose. */
export const X: usize = memory.data(1024, 16);
/** f32[256]: importance. */
export const IMPORTANCE: usize = memory.data(1024, 16);
/** f32[256]: what the search weighs errors with, and its product with the magnitudes. */
export const W: usize = memory.data(1024, 16);
export const WX: usize = memory.data(1024, 16);
/** u8[32]: eight sign bits for each eight weights. */
export const SIGNS: usize = memory.data(32, 16);

/** Per block, f32[16]: best scale so far; sums of W, of WX, and of WX * X. */
export const SCALE: usize = memory.data(64, 16);
export const SUM_W: usize = memory.data(64, 16);
export const SUM_WX: usize = memory.data(64, 16);
export const ENERGY: usize = memory.data(64, 16);
/** i32[16]: chosen sub-scale and pool entry of each block. */
export const SUBSCALE: usize = memory.data(64, 16);
export const CHOSEN: usize = memory.data(64, 16);

/** i32[16]: entries in each block's pool. */
export const POOL_SIZE: usize = memory.data(64, 16);
/** f32[12][16]: the cost of an entry at a scale is scale * (scale * Q2 - 2 * QX); its best scale is RATIO. */
export const POOL_QX: usize = memory.data(64 * 12, 16);
export const POOL_Q2: usize = memory.data(64 * 12, 16);
export const POOL_RATIO: usize = memory.data(64 * 12, 16);
/** u16[16][12][8]: points of an entry's groups. */
export const POOL_POINTS: usize = memory.data(16 * 12 * 16, 16);

// Constant vectors. V8 builds a constant from its halves wherever it is used; a load is one instruction.
export const F32_126: usize = memory.data<f32>([126, 126, 126, 126], 16);
export const F32_127: usize = memory.data<f32>([127, 127, 127, 127], 16);
/** 2^23: added to a number of 0 to 127, it leaves the rounded number in the lowest byte. */
export const F32_2_23: usize = memory.data<f32>([8388608, 8388608, 8388608, 8388608], 16);

/** f32[16][8]: cost of each block without the grid, at each ranked sub-scale; f32[16]: the first of these, as 2 s + 1. */
export const RANKING: usize = memory.data(512, 16);
export const FIRST_RANKED: usize = memory.data(64, 16);
/** i32[16], i32[16], f32[16], f32[16]: blocks that are searched, the ranked sub-scale of each, its scale, and the cost that
 *  was found. */
export const SEARCHED: usize = memory.data(64, 16);
export const SEARCHED_RANK: usize = memory.data(64, 16);
export const SEARCHED_SCALE: usize = memory.data(64, 16);
export const SEARCHED_COST: usize = memory.data(64, 16);
/** f32[16]: cost from which on a block's sub-scales are not searched. */
export const LIMIT: usize = memory.data(64, 16);

/**
 * Adds an entry to a block's pool: its points are there already. Returns its cost at the scale it was found with.
 */
export function add_entry(block: i32, entry: i32, qx: f32, q2: f32, s: f32): f32 {
  const place = entry_offset(block, entry);
  store<f32>(POOL_QX + place, qx);
  store<f32>(POOL_Q2 + place, q2);
  store<f32>(POOL_RATIO + place, qx / q2);
  store<i32>(POOL_SIZE + (<usize>block << 2), entry + 1);
  return s * (s * q2 - <f32>2 * qx);
}

/** Address of the points of a pool entry. */
// @ts-ignore: decorator
@inline
export function points_of(block: i32, entry: i32): usize {
  return POOL_POINTS + (<usize>(block * POOL + entry) << 4);
}

/** Offset of a pool entry in POOL_QX, POOL_Q2 and POOL_RATIO. */
// @ts-ignore: decorator
@inline
export function entry_offset(block: i32, entry: i32): usize {
  return <usize>((entry << 4) + block) << 2;
}

/** 2 s + 1 of sub-scale s. */
// @ts-ignore: decorator
@inline
export function odd(subscale: i32): f32 {
  return <f32>2 * <f32>subscale + <f32>1;
}

/** Number of a block's cheapest ranked sub-scale. */
// @ts-ignore: decorator
@inline
export function cheapest_ranked(block: i32): i32 {
  const low = v128.load(<usize>block << 5, RANKING);
  const high = v128.load(<usize>block << 5, RANKING + 16);
  let least = f32x4.pmin(low, high);
  least = f32x4.pmin(least, v128.shuffle<u32>(least, least, 2, 3, 0, 1));
  least = f32x4.pmin(least, v128.shuffle<u32>(least, least, 1, 0, 3, 2));
  return ctz(i32x4.bitmask(f32x4.eq(low, least)) | (i32x4.bitmask(f32x4.eq(high, least)) << 4)) & 7;
}
