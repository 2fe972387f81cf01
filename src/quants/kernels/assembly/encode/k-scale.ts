// Q3_K and IQ4_XS: superblocks whose blocks have an integer scale. Reference: src/quants/k-scale-encode.ts.
// Layouts: src/quants/k-quants.ts, iq4.ts.
import { iq4Candidates, q3kCandidates, sixBitScales } from "../tables";
import { code_levels, code_scaled, sum_l2, sum_xl, weighted_square } from "./blocks";
import { normalize_importance } from "./importance";
import { search_integer } from "./integer-scale";
import { pack_nibbles, pack_two_bits } from "./pack";
import { load_row } from "./row";
import {
  found_curvature,
  found_scale,
  search_level_scale,
  search_scale,
  search_steps,
} from "./scale-search";
import { gain_correction, invert, scale_to_f16, superblock_scale } from "./scales";

/** Codes of a superblock, as bytes from 0 up. */
const codes: usize = memory.data(256, 16);
/** f32[16]: best scale of each block, and how much it matters; then integer scales. */
const exact: usize = memory.data(64, 16);
const curvatures: usize = memory.data(64, 16);
const scales: usize = memory.data(64, 16);

/** Encodes a superblock but for d, which is `superblock_d`: fills `codes` and `scales`. */
// @ts-ignore: decorator
@inline
function encode_superblock(
  x: usize,
  w: usize,
  size: i32,
  low: f32,
  high: f32,
  candidates: usize,
  steps: i32,
  lowScale: f32,
  highScale: f32,
  scaleCandidates: usize,
  levels: bool,
): void {
  const blocks = 256 / size;
  for (let block = 0; block < blocks; block++) {
    const at = <usize>(block * size) << 2;
    if (levels) search_level_scale(x + at, w + at, size, candidates, steps);
    else search_scale(x + at, w + at, size, low, high, candidates, steps);
    store<f32>(exact + (<usize>block << 2), found_scale);
    store<f32>(curvatures + (<usize>block << 2), found_curvature);
  }
  search_scale(exact, curvatures, blocks, lowScale, highScale, scaleCandidates, 2);
  const d = superblock_scale(found_scale, -lowScale);
  let c: f64 = 0;
  let v: f64 = 0;
  for (let block = 0; block < blocks; block++) {
    const at = <usize>(block * size) << 2;
    const center = nearest<f32>(load<f32>(exact + (<usize>block << 2)) * invert(d));
    const scale = search_integer(x + at, w + at, size, center, d, low, high, lowScale, highScale, levels);
    store<f32>(scales + (<usize>block << 2), scale);
    const to = codes + (at >> 2);
    if (levels) code_levels(x + at, w + at, size, invert(d * scale), to);
    else code_scaled(x + at, w + at, size, invert(d * scale), low, high, to);
    c += <f64>scale * <f64>sum_xl;
    v += <f64>(scale * scale) * <f64>sum_l2;
  }
  superblock_d = v > 0 ? c / v : 0;
  superblock_product = superblock_d * c;
  superblock_square = weighted_square(x, w, 256);
}

let superblock_d: f64 = 0;
/** <W, Q> and <W, W> of the superblock. */
let superblock_product: f64 = 0;
let superblock_square: f64 = 0;

/** Integer scale of a block. */
// @ts-ignore: decorator
@inline
function integer_scale(block: i32): i32 {
  return <i32>load<f32>(scales + (<usize>block << 2));
}

function pack_q3_k(out: usize): void {
  pack_two_bits(codes, out + 32);
  const one = i8x16.splat(1);
  for (let l: usize = 0; l < 32; l += 16) {
    let thirdBits = i8x16.splat(0);
    for (let k: i32 = 0; k < 8; k++) {
      const bit = v128.and(i8x16.shr_u(v128.load(codes + (<usize>k << 5) + l), 2), one);
      thirdBits = v128.or(thirdBits, i8x16.shl(bit, k));
    }
    v128.store(out + l, thirdBits);
  }
  for (let block = 0; block < 4; block++) {
    let upper: i32 = 0;
    for (let quarter = 0; quarter < 4; quarter++) {
      upper |= ((integer_scale(4 * quarter + block) + 32) >> 4) << (2 * quarter);
    }
    store<u8>(out + 104 + block, upper);
  }
  for (let block = 0; block < 8; block++) {
    const low = (integer_scale(block) + 32) & 15;
    store<u8>(out + 96 + block, low | ((integer_scale(block + 8) + 32) << 4));
  }
}

function pack_iq4_xs(out: usize): void {
  let upper: i32 = 0;
  for (let block = 0; block < 8; block += 2) {
    const even = integer_scale(block) + 32;
    const odd = integer_scale(block + 1) + 32;
    store<u8>(out + 4 + (block >> 1), (even & 15) | (odd << 4));
    upper |= ((even >> 4) | ((odd >> 4) << 2)) << (2 * block);
  }
  store<u16>(out, upper, 2);
  for (let block: usize = 0; block < 8; block++) {
    pack_nibbles(codes + (block << 5), out + 8 + (block << 4));
  }
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
  scratch: usize,
  bytes: usize,
  dAt: usize,
  size: i32,
  low: f32,
  high: f32,
  candidates: usize,
  steps: i32,
  lowScale: f32,
  highScale: f32,
  scaleCandidates: usize,
): void {
  const x = scratch;
  const w = x + (<usize>columns << 2);
  const ds = w + (<usize>columns << 2);
  const superblocks = columns >> 8;
  const levels = bytes == 136;
  normalize_importance(importance, columns, w);
  for (let row = 0; row < rows; row++, source += <usize>columns << 2) {
    load_row(source, columns, x);
    let square: f64 = 0;
    let product: f64 = 0;
    for (let superblock: usize = 0; superblock < <usize>superblocks; superblock++) {
      const at = superblock << 10;
      encode_superblock(
        x + at,
        w + at,
        size,
        low,
        high,
        candidates,
        steps,
        lowScale,
        highScale,
        scaleCandidates,
        levels,
      );
      store<f64>(ds + (superblock << 3), superblock_d);
      product += superblock_product;
      square += superblock_square;
      const to = out + superblock * bytes;
      if (bytes == 110) pack_q3_k(to);
      else pack_iq4_xs(to);
    }
    const correction = gain_correction(square, product);
    for (let superblock = 0; superblock < superblocks; superblock++, out += bytes) {
      store<u16>(out + dAt, scale_to_f16(correction * load<f64>(ds + (<usize>superblock << 3))));
    }
  }
}

export function encode_q3_k(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  const steps = search_steps(effort);
  const candidates = q3kCandidates;
  encode(
    source,
    importance,
    out,
    rows,
    columns,
    scratch,
    110,
    108,
    16,
    -4,
    3,
    candidates,
    steps,
    -32,
    31,
    sixBitScales,
  );
}

export function encode_iq4_xs(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  const steps = search_steps(effort);
  const candidates = iq4Candidates;
  encode(
    source,
    importance,
    out,
    rows,
    columns,
    scratch,
    136,
    0,
    32,
    0,
    0,
    candidates,
    steps,
    -32,
    31,
    sixBitScales,
  );
}
