// Q2_K, Q4_K and Q5_K: superblocks whose blocks have an integer scale and minimum.
// Reference: src/quants/k-range-encode.ts. Layouts: src/quants/k-quants.ts.
import { fiveBitRanges, fourBitRanges, kScales, q2kCandidates, q2kScales } from "../tables";
import { code_range, sum_l, sum_l2, sum_xl, weighted_square, weighted_sum } from "./blocks";
import { normalize_importance } from "./importance";
import { pack_quarter_nibbles, pack_two_bits } from "./pack";
import {
  range_curvature,
  range_importance,
  range_mean,
  range_offset,
  range_scale,
  search_range,
} from "./range-search";
import { load_row } from "./row";
import { found_scale, search_scale, search_steps } from "./scale-search";
import { gain_correction, invert, scale_to_f16, superblock_scale } from "./scales";

/** Codes of a superblock, as bytes. */
const codes: usize = memory.data(256, 16);
/** f32[16] of the blocks: what their searches found. */
const exactScales: usize = memory.data(64, 16);
const offsets: usize = memory.data(64, 16);
const exactMinima: usize = memory.data(64, 16);
const curvatures: usize = memory.data(64, 16);
const totals: usize = memory.data(64, 16);
const means: usize = memory.data(64, 16);
/** f32[16] of the blocks: integer scales and minima. */
const scales: usize = memory.data(64, 16);
const minima: usize = memory.data(64, 16);

let found_integer: f32 = 0;
let found_minimum: f32 = 0;

/** The best integer scale of a block among four around the nearest one, each with its best integer minimum. */
// @ts-ignore: decorator
@inline
function search_integers(
  x: usize,
  w: usize,
  count: i32,
  block: usize,
  d: f32,
  dmin: f32,
  top: f32,
  topScale: f32,
): void {
  const zero = f32x4.splat(0);
  const topScales = f32x4.splat(topScale);
  const tops = f32x4.splat(top);
  const total = v128.load32_splat(totals + block);
  const mean = v128.load32_splat(means + block);
  const offset = v128.load32_splat(offsets + block);
  const center: f32 = nearest<f32>(load<f32>(exactScales + block) * invert(d));
  const integers = f32x4.pmax(zero, f32x4.pmin(topScales, f32x4.add(f32x4.splat(center), f32x4(-1, 0, 1, 2))));
  const scale = f32x4.mul(f32x4.splat(d), integers);
  const inverse = v128.and(f32x4.div(f32x4.splat(1), scale), f32x4.ne(scale, zero));
  let c = zero;
  let l1 = zero;
  let l2 = zero;
  for (const end = x + (<usize>count << 2); x < end; x += 4, w += 4) {
    const weight = v128.load32_splat(x);
    const quotient = f32x4.mul(f32x4.sub(weight, offset), inverse);
    const code = f32x4.pmax(zero, f32x4.pmin(tops, f32x4.nearest(quotient)));
    const weighted = f32x4.mul(v128.load32_splat(w), code);
    c = f32x4.add(c, f32x4.mul(weighted, f32x4.sub(weight, mean)));
    l1 = f32x4.add(l1, weighted);
    l2 = f32x4.add(l2, f32x4.mul(weighted, code));
  }
  const scaledL = f32x4.mul(scale, l1);
  const ideal = f32x4.sub(f32x4.div(scaledL, total), mean);
  const rounded = f32x4.nearest(f32x4.mul(ideal, f32x4.splat(invert(dmin))));
  const minimum = f32x4.pmax(zero, f32x4.pmin(topScales, rounded));
  const shift = f32x4.add(f32x4.mul(f32x4.splat(dmin), minimum), mean);
  const errors = f32x4.add(
    f32x4.mul(scale, f32x4.sub(f32x4.mul(scale, l2), f32x4.add(c, c))),
    f32x4.mul(shift, f32x4.sub(f32x4.mul(shift, total), f32x4.add(scaledL, scaledL))),
  );
  let least: f32 = f32x4.extract_lane(errors, 0);
  found_integer = f32x4.extract_lane(integers, 0);
  found_minimum = f32x4.extract_lane(minimum, 0);
  if (f32x4.extract_lane(errors, 1) < least) {
    least = f32x4.extract_lane(errors, 1);
    found_integer = f32x4.extract_lane(integers, 1);
    found_minimum = f32x4.extract_lane(minimum, 1);
  }
  if (f32x4.extract_lane(errors, 2) < least) {
    least = f32x4.extract_lane(errors, 2);
    found_integer = f32x4.extract_lane(integers, 2);
    found_minimum = f32x4.extract_lane(minimum, 2);
  }
  if (f32x4.extract_lane(errors, 3) < least) {
    found_integer = f32x4.extract_lane(integers, 3);
    found_minimum = f32x4.extract_lane(minimum, 3);
  }
}

/** d and dmin of the last superblock, <W, Q> and <W, W> with them. */
let superblock_d: f64 = 0;
let superblock_dmin: f64 = 0;
let superblock_product: f64 = 0;
let superblock_square: f64 = 0;

/** Encodes a superblock but for d and dmin, which are globals: fills `codes`, `scales` and `minima`. */
// @ts-ignore: decorator
@inline
function encode_superblock(
  x: usize,
  w: usize,
  size: i32,
  top: f32,
  candidates: usize,
  steps: i32,
  topScale: f32,
  scaleCandidates: usize,
): void {
  const blocks = 256 / size;
  for (let block: usize = 0; block < <usize>blocks << 2; block += 4) {
    const at = block * size;
    search_range(x + at, w + at, size, top, candidates, steps, false);
    store<f32>(exactScales + block, range_scale);
    store<f32>(offsets + block, range_offset);
    store<f32>(exactMinima + block, max<f32>(-range_offset, 0));
    store<f32>(curvatures + block, range_curvature);
    store<f32>(totals + block, range_importance);
    store<f32>(means + block, range_mean);
  }
  search_scale(exactScales, curvatures, blocks, 0, topScale, scaleCandidates, 2);
  const d = superblock_scale(found_scale, topScale);
  search_scale(exactMinima, totals, blocks, 0, topScale, scaleCandidates, 2);
  const dmin = superblock_scale(found_scale, topScale);
  let aa: f64 = 0;
  let ab: f64 = 0;
  let bb: f64 = 0;
  let xa: f64 = 0;
  let xb: f64 = 0;
  for (let block: usize = 0; block < <usize>blocks << 2; block += 4) {
    const at = block * size;
    search_integers(x + at, w + at, size, block, d, dmin, top, topScale);
    const scale: f64 = found_integer;
    const minimum: f64 = found_minimum;
    store<f32>(scales + block, found_integer);
    store<f32>(minima + block, found_minimum);
    const inverse = invert(d * found_integer);
    code_range(x + at, w + at, size, dmin * found_minimum, inverse, top, codes + (at >> 2));
    aa += scale * scale * sum_l2;
    ab += scale * minimum * sum_l;
    bb += minimum * minimum * load<f32>(totals + block);
    xa += scale * sum_xl;
    xb += minimum * weighted_sum(x + at, w + at, size);
  }
  // Least squares of x - d A + dmin B, where A = scale code and B = minimum.
  const determinant = aa * bb - ab * ab;
  if (determinant > 1e-6 * aa * bb) {
    superblock_d = (xa * bb - xb * ab) / determinant;
    superblock_dmin = (xa * ab - xb * aa) / determinant;
  } else {
    superblock_dmin = dmin;
    superblock_d = aa > 0 ? (xa + superblock_dmin * ab) / aa : 0;
  }
  superblock_product = superblock_d * xa - superblock_dmin * xb;
  superblock_square = weighted_square(x, w, 256);
}

/** Encodes rows; `bytes` of a superblock tell the formats apart. */
// @ts-ignore: decorator
@inline
function encode(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
  bytes: usize,
  size: i32,
  top: f32,
  candidates: usize,
  topScale: f32,
  scaleCandidates: usize,
): void {
  const x = scratch;
  const w = x + (<usize>columns << 2);
  const units = w + (<usize>columns << 2);
  const superblocks = columns >> 8;
  normalize_importance(importance, columns, w);
  for (let row = 0; row < rows; row++, source += <usize>columns << 2) {
    load_row(source, columns, x);
    let square: f64 = 0;
    let product: f64 = 0;
    for (let superblock: usize = 0; superblock < <usize>superblocks; superblock++) {
      const at = superblock << 10;
      encode_superblock(x + at, w + at, size, top, candidates, search_steps(effort), topScale, scaleCandidates);
      store<f64>(units + (superblock << 4), superblock_d);
      store<f64>(units + (superblock << 4), superblock_dmin, 8);
      product += superblock_product;
      square += superblock_square;
      const to = out + superblock * bytes;
      if (bytes == 84) pack_q2_k(to);
      else if (bytes == 144) pack_q4_k(to);
      else pack_q5_k(to);
    }
    const correction = gain_correction(square, product);
    const dAt: usize = bytes == 84 ? 80 : 0;
    for (let superblock = 0; superblock < superblocks; superblock++, out += bytes) {
      const unit = units + (<usize>superblock << 4);
      store<u16>(out + dAt, scale_to_f16(correction * load<f64>(unit)));
      store<u16>(out + dAt, scale_to_f16(correction * load<f64>(unit, 8)), 2);
    }
  }
}

/** Integer of a block. */
// @ts-ignore: decorator
@inline
function integer(integers: usize, block: i32): i32 {
  return <i32>load<f32>(integers + (<usize>block << 2));
}

function pack_q2_k(out: usize): void {
  for (let block = 0; block < 16; block++) {
    store<u8>(out + block, integer(scales, block) | (integer(minima, block) << 4));
  }
  pack_two_bits(codes, out + 16);
}

/** Six-bit scales and minima of Q4_K and Q5_K in 12 bytes. */
function pack_six_bit_scales(out: usize): void {
  for (let block = 0; block < 4; block++) {
    const scale = integer(scales, block + 4);
    const minimum = integer(minima, block + 4);
    store<u8>(out + block, integer(scales, block) | ((scale >> 4) << 6));
    store<u8>(out + block, integer(minima, block) | ((minimum >> 4) << 6), 4);
    store<u8>(out + block, (scale & 15) | ((minimum & 15) << 4), 8);
  }
}

function pack_q4_k(out: usize): void {
  pack_six_bit_scales(out + 4);
  pack_quarter_nibbles(codes, out + 16);
}

function pack_q5_k(out: usize): void {
  pack_six_bit_scales(out + 4);
  pack_quarter_nibbles(codes, out + 48);
  for (let l: usize = 0; l < 32; l += 16) {
    let fifthBits = i8x16.splat(0);
    for (let k: i32 = 0; k < 8; k++) {
      const bit = i8x16.shr_u(v128.load(codes + (<usize>k << 5) + l), 4);
      fifthBits = v128.or(fifthBits, i8x16.shl(bit, k));
    }
    v128.store(out + 16 + l, fifthBits);
  }
}

export function encode_q2_k(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  encode(source, importance, out, rows, columns, effort, scratch, 84, 16, 3, q2kCandidates, 15, q2kScales);
}

export function encode_q4_k(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  encode(source, importance, out, rows, columns, effort, scratch, 144, 32, 15, fourBitRanges, 63, kScales);
}

export function encode_q5_k(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  encode(source, importance, out, rows, columns, effort, scratch, 176, 32, 31, fiveBitRanges, 63, kScales);
}
