// MXFP4 and NVFP4: four-bit floats (E2M1) whose blocks have scales of few bits. Reference, to the last bit:
// src/quants/four-bit-float-encode.ts. Layouts: src/quants/mxfp4.ts, nvfp4.ts.
import { max_f32x4, sum_f32x4 } from "../lanes";
import { mxfp4Candidates, mxfp4Scales, nvfp4Candidates, nvfp4Scales } from "../tables";
import { weighted_square } from "./blocks";
import { normalize_importance } from "./importance";
import { load_row } from "./row";

/** The format in use: weights that share a scale, and scales by byte. */
let block: i32 = 32;
let scale_table: usize = 0;

/** Twice the values of E2M1 nearest to numbers that are not negative, ties to even mantissas. */
// @ts-ignore: decorator
@inline
function nearest_levels(twice: v128): v128 {
  const limited = f32x4.pmin(twice, f32x4.splat(12));
  // Half of the power of two below, at least 1, and one over it.
  const power = v128.and(limited, i32x4.splat(0x7f800000));
  const step = f32x4.pmax(f32x4.mul(power, f32x4.splat(0.5)), f32x4.splat(1));
  const inverse = i32x4.sub(i32x4.splat(0x7f000000), step);
  return f32x4.mul(step, f32x4.nearest(f32x4.mul(limited, inverse)));
}

/** Codes of twice the values of E2M1, with the sign bits of `weights`; zero has none. */
// @ts-ignore: decorator
@inline
function codes_of(levels: v128, weights: v128): v128 {
  // From 2 on, exponent and first mantissa bit count the codes.
  const one = v128.and(f32x4.ge(levels, f32x4.splat(1)), i32x4.splat(1));
  const code = i32x4.max_s(i32x4.sub(i32x4.shr_u(levels, 22), i32x4.splat(0xfe)), one);
  const sign = v128.and(i32x4.shr_u(weights, 28), i32x4.splat(8));
  return v128.or(code, v128.and(sign, i32x4.ne(code, i32x4.splat(0))));
}

/** Scale of a byte. */
// @ts-ignore: decorator
@inline
function scale_of(byte: i32): f32 {
  return load<f32>(scale_table + (<usize>byte << 2));
}

/** First of the bytes around which candidates lie, for a block whose largest size is this. */
function middle_byte(largest: f32): i32 {
  if (block == 32) return <i32>(reinterpret<u32>(largest) >> 23) - 2;
  const wanted: f32 = largest / <f32>12;
  let below = 0;
  for (let bit: i32 = 64; bit > 0; bit >>= 1) {
    if (below + bit <= 126 && scale_of(below + bit) < wanted) below += bit;
  }
  return below + 1;
}

/** The scale byte of least squared error for a block; 0 if it is all zero. */
function best_scale(x: usize, w: usize, effort: i32): i32 {
  const end = x + (<usize>block << 2);
  let sizes = f32x4.splat(0);
  for (let at = x; at < end; at += 16) sizes = f32x4.pmax(sizes, f32x4.abs(v128.load(at)));
  const largest = max_f32x4(sizes);
  if (largest == 0) return 0;
  const middle = middle_byte(largest);
  const least_byte = block == 32 ? 0 : 1;
  const most_byte = block == 32 ? 254 : 126;
  const steps = block == 32 ? 1 : 1 << effort;
  let candidates = block == 32 ? mxfp4Candidates : nvfp4Candidates;
  let bestError = f32x4.splat(Infinity);
  let bestByte = i32x4.splat(0);
  for (let step: i32 = 0; step < steps; step++, candidates += 16) {
    const wanted = i32x4.add(i32x4.splat(middle), v128.load(candidates));
    const bytes = i32x4.max_s(i32x4.splat(least_byte), i32x4.min_s(i32x4.splat(most_byte), wanted));
    let scales = f32x4.splat(scale_of(i32x4.extract_lane(bytes, 0)));
    scales = f32x4.replace_lane(scales, 1, scale_of(i32x4.extract_lane(bytes, 1)));
    scales = f32x4.replace_lane(scales, 2, scale_of(i32x4.extract_lane(bytes, 2)));
    scales = f32x4.replace_lane(scales, 3, scale_of(i32x4.extract_lane(bytes, 3)));
    let error = f32x4.splat(0);
    for (let at = x, wat = w; at < end; at += 4, wat += 4) {
      const size = f32x4.abs(v128.load32_splat(at));
      const levels = nearest_levels(f32x4.div(size, scales));
      const difference = f32x4.sub(size, f32x4.mul(scales, levels));
      error = f32x4.add(error, f32x4.mul(f32x4.mul(v128.load32_splat(wat), difference), difference));
    }
    const better = f32x4.lt(error, bestError);
    bestError = v128.bitselect(error, bestError, better);
    bestByte = v128.bitselect(bytes, bestByte, better);
  }
  let least = f32x4.extract_lane(bestError, 0);
  let best = least < Infinity ? i32x4.extract_lane(bestByte, 0) : 0;
  if (f32x4.extract_lane(bestError, 1) < least) {
    least = f32x4.extract_lane(bestError, 1);
    best = i32x4.extract_lane(bestByte, 1);
  }
  if (f32x4.extract_lane(bestError, 2) < least) {
    least = f32x4.extract_lane(bestError, 2);
    best = i32x4.extract_lane(bestByte, 2);
  }
  if (f32x4.extract_lane(bestError, 3) < least) best = i32x4.extract_lane(bestByte, 3);
  return best;
}

/** <W, Q> of a row of `blocks` with scale bytes at `bytes`, whose codes are those of its weights times `factor`. */
function product_of(x: usize, w: usize, bytes: usize, blocks: i32, factor: f32): f64 {
  const factors = f32x4.splat(factor);
  let product: f64 = 0;
  for (let number: i32 = 0; number < blocks; number++) {
    const scale = scale_of(load<u8>(bytes + <usize>number));
    const end = x + (<usize>block << 2);
    if (scale == 0) {
      w += end - x;
      x = end;
      continue;
    }
    const scales = f32x4.splat(scale);
    let lanes = f32x4.splat(0);
    for (; x < end; x += 16, w += 16) {
      const size = f32x4.abs(v128.load(x));
      const levels = nearest_levels(f32x4.div(f32x4.mul(factors, size), scales));
      lanes = f32x4.add(lanes, f32x4.mul(f32x4.mul(v128.load(w), size), levels));
    }
    product += <f64>scale * <f64>sum_f32x4(lanes);
  }
  return product;
}

/** The factor whose codes come nearest to unit gain, by the secant method. */
function unbiased_factor(x: usize, w: usize, bytes: usize, blocks: i32, square: f64): f32 {
  if (!(square > 0)) return 1;
  let before: f64 = 1;
  let excessBefore = product_of(x, w, bytes, blocks, 1) - square;
  let best: f32 = 1;
  let distance = abs(excessBefore);
  let factor = limited(1.0 - excessBefore / square);
  for (let k = 0; k < 6 && <f64>factor != before; k++) {
    const excess = product_of(x, w, bytes, blocks, factor) - square;
    if (abs(excess) < distance) {
      best = factor;
      distance = abs(excess);
    }
    if (excess == excessBefore) break;
    const next = <f64>factor - (excess * (<f64>factor - before)) / (excess - excessBefore);
    before = <f64>factor;
    excessBefore = excess;
    factor = limited(next);
  }
  return best;
}

function limited(factor: f64): f32 {
  return <f32>max<f64>(0.9, min<f64>(1.1, factor));
}

/** Writes the codes of a block: half its weights in low nibbles, the other half in high ones. */
function pack(x: usize, scale: f32, factor: f32, out: usize): void {
  const half = <usize>block << 1;
  const scales = f32x4.splat(scale);
  const factors = f32x4.splat(factor);
  for (const end = x + half; x < end; x += 16, out += 4) {
    const low = v128.load(x);
    const high = v128.load(x + half);
    const lowLevels = nearest_levels(f32x4.div(f32x4.mul(factors, f32x4.abs(low)), scales));
    const highLevels = nearest_levels(f32x4.div(f32x4.mul(factors, f32x4.abs(high)), scales));
    const pairs = v128.or(codes_of(lowLevels, low), i32x4.shl(codes_of(highLevels, high), 4));
    const narrow = i16x8.narrow_i32x4_u(pairs, pairs);
    store<u32>(out, i32x4.extract_lane(i8x16.narrow_i16x8_u(narrow, narrow), 0));
  }
}

/** `together`: weights whose scales come one after another, then their codes. */
function encode(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
  together: i32,
): void {
  const x = scratch;
  const w = x + (<usize>columns << 2);
  const bytes = w + (<usize>columns << 2);
  const blocks = columns / block;
  const blockBytes = <usize>block << 2;
  normalize_importance(importance, columns, w);
  for (let row = 0; row < rows; row++, source += <usize>columns << 2) {
    load_row(source, columns, x);
    let square: f64 = 0;
    for (let number: i32 = 0; number < blocks; number++) {
      const at = <usize>number * blockBytes;
      store<u8>(bytes + <usize>number, best_scale(x + at, w + at, effort));
      square += <f64>weighted_square(x + at, w + at, block);
    }
    const factor = unbiased_factor(x, w, bytes, blocks, square);
    const scalesTogether = together / block;
    for (let number: i32 = 0; number < blocks; number += scalesTogether) {
      const first = out;
      out += <usize>scalesTogether;
      for (let i: i32 = 0; i < scalesTogether; i++, out += <usize>block >> 1) {
        const byte = load<u8>(bytes + <usize>(number + i));
        store<u8>(first + <usize>i, byte);
        const scale = scale_of(byte);
        if (scale == 0) memory.fill(out, 0, <usize>block >> 1);
        else pack(x + <usize>(number + i) * blockBytes, scale, factor, out);
      }
    }
  }
}

export function encode_mxfp4(source: usize, importance: usize, out: usize, rows: i32, columns: i32, effort: i32, scratch: usize): void {
  block = 32;
  scale_table = mxfp4Scales;
  encode(source, importance, out, rows, columns, effort, scratch, 32);
}

export function encode_nvfp4(source: usize, importance: usize, out: usize, rows: i32, columns: i32, effort: i32, scratch: usize): void {
  block = 16;
  scale_table = nvfp4Scales;
  encode(source, importance, out, rows, columns, effort, scratch, 64);
}
