// Reads a superblock: magnitudes, signs, and the weights of the search.
import { max_f32x4, sum_f32x4 } from "../lanes";
import { IMPORTANCE, SIGNS, W, WX, X } from "./grid-memory";

/** Sum of importance * weight^2 of the superblock that was loaded last. */
export let loadedEnergy: f32 = 0;

/**
 * The power of two by which a superblock's weights are multiplied, so that the largest magnitude is in [1, 4); 0 if
 * it is too small for any of the formats.
 */
export function normalizer(weights: usize): f32 {
  let largest = f32x4.splat(0);
  for (let at: usize = 0; at < 1024; at += 32) {
    largest = f32x4.pmax(largest, f32x4.abs(v128.load(weights + at)));
    largest = f32x4.pmax(largest, f32x4.abs(v128.load(weights + at, 16)));
  }
  const exponent = reinterpret<u32>(max_f32x4(largest)) >> 23;
  if (exponent < 64) return 0;
  return reinterpret<f32>((exponent > 253 ? 1 : 254 - exponent) << 23);
}

/**
 * Fills X, W, WX, IMPORTANCE and SIGNS.
 * @param step about the smallest magnitude the format gives a weight, for a superblock of root mean square 1
 */
export function load_superblock(weights: usize, importance: usize, factor: f32, evenSigns: bool, step: f32): void {
  const factors = f32x4.splat(factor);
  let squares = f32x4.splat(0);
  let energy = f32x4.splat(0);
  for (let at: usize = 0; at < 1024; at += 32) {
    const low = f32x4.mul(v128.load(weights + at), factors);
    const high = f32x4.mul(v128.load(weights + at, 16), factors);
    const lowImportance = v128.load(importance + at);
    const highImportance = v128.load(importance + at, 16);
    store<u8>(at >> 5, i32x4.bitmask(low) | (i32x4.bitmask(high) << 4), SIGNS);
    v128.store(at, f32x4.abs(low), X);
    v128.store(at, f32x4.abs(high), X + 16);
    v128.store(at, lowImportance, IMPORTANCE);
    v128.store(at, highImportance, IMPORTANCE + 16);
    const lowSquare = f32x4.mul(low, low);
    const highSquare = f32x4.mul(high, high);
    squares = f32x4.add(squares, f32x4.add(lowSquare, highSquare));
    energy = f32x4.add(
      energy,
      f32x4.add(f32x4.mul(lowImportance, lowSquare), f32x4.mul(highImportance, highSquare)),
    );
  }
  loadedEnergy = sum_f32x4(energy);

  const meanSquare = sum_f32x4(squares) * <f32>(1.0 / 256.0);
  const spread = f32x4.splat(meanSquare + meanSquare);
  for (let at: usize = 0; at < 1024; at += 16) {
    const x = v128.load(at, X);
    const w = f32x4.mul(v128.load(at, IMPORTANCE), eighth_root(f32x4.add(spread, f32x4.mul(x, x))));
    v128.store(at, w, W);
    v128.store(at, f32x4.mul(w, x), WX);
  }
  if (evenSigns) {
    const twoSteps: f32 = <f32>2 * step * <f32>Math.sqrt(meanSquare);
    for (let eight: usize = 0; eight < 32; eight++) make_even(eight, twoSteps);
  }
}

/**
 * The eighth root of normal numbers, too large by at most 0.8 %: an eighth of the bits, taken for a logarithm, whose unit
 * 2^-23 is and whose zero 127.
 */
// @ts-ignore: decorator
@inline
function eighth_root(v: v128): v128 {
  return i32x4.add(i32x4.shr_u(v, 3), i32x4.splat(127 * 7 * (1 << 20)));
}

/** Flips the sign of one of eight weights where the number of minus signs is odd: the one that costs least. */
function make_even(eight: usize, twoSteps: f32): void {
  const signs = <i32>load<u8>(eight, SIGNS);
  if ((popcnt(signs) & 1) == 0) return;
  const at = eight << 5;
  const steps = f32x4.splat(twoSteps);
  const low = f32x4.mul(v128.load(at, WX), f32x4.add(v128.load(at, X), steps));
  const high = f32x4.mul(v128.load(at, WX + 16), f32x4.add(v128.load(at, X + 16), steps));
  let least = f32x4.pmin(low, high);
  least = f32x4.pmin(least, v128.shuffle<u32>(least, least, 2, 3, 0, 1));
  least = f32x4.pmin(least, v128.shuffle<u32>(least, least, 1, 0, 3, 2));
  const cheapest = ctz(i32x4.bitmask(f32x4.eq(low, least)) | (i32x4.bitmask(f32x4.eq(high, least)) << 4)) & 7;
  store<u8>(eight, signs ^ (1 << cheapest), SIGNS);
  const place = at + (<usize>cheapest << 2);
  store<f32>(place, -load<f32>(place, X), X);
  store<f32>(place, -load<f32>(place, WX), WX);
}
