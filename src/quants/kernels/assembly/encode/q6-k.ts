// Q6_K: superblocks of 16 blocks with an integer scale of eight bits. Reference: src/quants/k-scale-encode.ts.
// Layout: src/quants/k-quants.ts.
import { sum_f32x4, sum_of_each } from "../lanes";
import { eightBitScales } from "../tables";
import { low_bytes } from "./blocks";
import { normalize_importance } from "./importance";
import { search_integer } from "./integer-scale";
import { prepare_residues, search_residues, searched_square, start_superblock } from "./residue-search";
import { load_row } from "./row";
import { found_scale, nearest_code, search_scale } from "./scale-search";
import { gain_correction, invert, scale_to_f16, superblock_scale } from "./scales";

const superblockBytes: usize = 210;

/** Codes of a superblock, as bytes from 0 up. */
const codes: usize = memory.data(256, 16);
/** f32[16] of the blocks: the best scale, and how much it matters; the integer scale. */
const exact: usize = memory.data(64, 16);
const curvatures: usize = memory.data(64, 16);
const scales: usize = memory.data(64, 16);
/** f32[4] of four blocks: nearest integer scales; then what quotients are multiplied by. */
const inverses: usize = memory.data(16, 16);
/** f32[4][4] of four blocks, in four lanes each: sum w l x, sum w l^2. */
const products: usize = memory.data(64, 16);
const squares: usize = memory.data(64, 16);

/** Codes of four weights. */
// @ts-ignore: decorator
@inline
function code(weights: v128, inverse: v128): v128 {
  return nearest_code(f32x4.mul(weights, inverse), f32x4.splat(-32), f32x4.splat(31));
}

/** Codes of a block, and its sums: `products` and `squares`. */
// @ts-ignore: decorator
@inline
function code_block(x: usize, w: usize, block: usize, to: usize): void {
  const inverse = v128.load32_splat(inverses + (block >> 2));
  const x0 = v128.load(x);
  const x1 = v128.load(x, 16);
  const x2 = v128.load(x, 32);
  const x3 = v128.load(x, 48);
  const l0 = code(x0, inverse);
  const l1 = code(x1, inverse);
  const l2 = code(x2, inverse);
  const l3 = code(x3, inverse);
  const w0 = f32x4.mul(v128.load(w), l0);
  const w1 = f32x4.mul(v128.load(w, 16), l1);
  const w2 = f32x4.mul(v128.load(w, 32), l2);
  const w3 = f32x4.mul(v128.load(w, 48), l3);
  const raise = f32x4.splat(8388640);
  v128.store(
    to,
    low_bytes(f32x4.add(l0, raise), f32x4.add(l1, raise), f32x4.add(l2, raise), f32x4.add(l3, raise)),
  );
  let sum = f32x4.add(f32x4.add(f32x4.mul(w0, x0), f32x4.mul(w1, x1)), f32x4.mul(w2, x2));
  v128.store(products + block, f32x4.add(sum, f32x4.mul(w3, x3)));
  sum = f32x4.add(f32x4.add(f32x4.mul(w0, l0), f32x4.mul(w1, l1)), f32x4.mul(w2, l2));
  v128.store(squares + block, f32x4.add(sum, f32x4.mul(w3, l3)));
}

/** Integer scales of four blocks: the nearest, or the best of several where that is below `triedBelow`. */
// @ts-ignore: decorator
@inline
function choose_scales(x: usize, w: usize, four: usize, d: f32, triedBelow: f32): void {
  const nearest = f32x4.nearest(f32x4.mul(v128.load(exact + four), f32x4.splat(invert(d))));
  v128.store(scales + four, f32x4.pmax(f32x4.splat(-128), f32x4.pmin(f32x4.splat(127), nearest)));
  const isTried = i32x4.bitmask(f32x4.lt(f32x4.abs(nearest), f32x4.splat(triedBelow)));
  if (isTried == 0) return;
  v128.store(inverses, nearest);
  for (let block = 0; block < 4; block++) {
    if ((isTried >> block) & 1) {
      const at = <usize>block << 6;
      const center = load<f32>(inverses + (<usize>block << 2));
      const scale = search_integer(x + at, w + at, 16, center, d, -32, 31, -128, 127, false);
      store<f32>(scales + four + (<usize>block << 2), scale);
    }
  }
}

/** Encodes a superblock but for d, which is `superblock_d`: fills `codes` and `scales`. */
// @ts-ignore: decorator
@inline
function encode_superblock(x: usize, w: usize, integers: usize, most: usize, steps: i32, triedBelow: f32): void {
  start_superblock();
  for (let four: usize = 0; four < 64; four += 16) {
    const at = four << 4;
    search_residues(x + at, w + at, integers + 8 * four, most + four, steps, exact + four, curvatures + four);
  }
  search_scale(exact, curvatures, 16, -128, 127, eightBitScales, 4);
  const d = superblock_scale(found_scale, 128);
  const ds = f32x4.splat(d);
  let c: f64 = 0;
  let v: f64 = 0;
  for (let four: usize = 0; four < 64; four += 16) {
    const at = four << 4;
    choose_scales(x + at, w + at, four, d, triedBelow);
    const scale = v128.load(scales + four);
    const unit = f32x4.mul(ds, scale);
    const isThere = f32x4.ne(unit, f32x4.splat(0));
    v128.store(inverses, v128.and(f32x4.div(f32x4.splat(1), unit), isThere));
    for (let block: usize = 0; block < 64; block += 16) {
      code_block(x + at + 4 * block, w + at + 4 * block, block, codes + 4 * four + block);
    }
    const product = sum_of_each(
      v128.load(products),
      v128.load(products, 16),
      v128.load(products, 32),
      v128.load(products, 48),
    );
    const square = sum_of_each(
      v128.load(squares),
      v128.load(squares, 16),
      v128.load(squares, 32),
      v128.load(squares, 48),
    );
    const squareScale = f32x4.mul(scale, scale);
    c += <f64>f32x4.extract_lane(scale, 0) * <f64>f32x4.extract_lane(product, 0);
    c += <f64>f32x4.extract_lane(scale, 1) * <f64>f32x4.extract_lane(product, 1);
    c += <f64>f32x4.extract_lane(scale, 2) * <f64>f32x4.extract_lane(product, 2);
    c += <f64>f32x4.extract_lane(scale, 3) * <f64>f32x4.extract_lane(product, 3);
    v += <f64>f32x4.extract_lane(squareScale, 0) * <f64>f32x4.extract_lane(square, 0);
    v += <f64>f32x4.extract_lane(squareScale, 1) * <f64>f32x4.extract_lane(square, 1);
    v += <f64>f32x4.extract_lane(squareScale, 2) * <f64>f32x4.extract_lane(square, 2);
    v += <f64>f32x4.extract_lane(squareScale, 3) * <f64>f32x4.extract_lane(square, 3);
  }
  superblock_d = v > 0 ? c / v : 0;
  superblock_product = superblock_d * c;
}

let superblock_d: f64 = 0;
/** <W, Q> of the superblock. */
let superblock_product: f64 = 0;

function pack(out: usize): void {
  const low = i8x16.splat(15);
  for (let half: usize = 0; half < 2; half++) {
    for (let l: usize = 0; l < 32; l += 16) {
      const from = codes + (half << 7) + l;
      const a = v128.load(from);
      const b = v128.load(from, 32);
      const c = v128.load(from, 64);
      const d = v128.load(from, 96);
      const to = out + (half << 6) + l;
      v128.store(to, v128.or(v128.and(a, low), i8x16.shl(c, 4)));
      v128.store(to, v128.or(v128.and(b, low), i8x16.shl(d, 4)), 32);
      let upper = i8x16.shr_u(a, 4);
      upper = v128.or(upper, i8x16.shl(i8x16.shr_u(b, 4), 2));
      upper = v128.or(upper, i8x16.shl(i8x16.shr_u(c, 4), 4));
      upper = v128.or(upper, i8x16.shl(i8x16.shr_u(d, 4), 6));
      v128.store(out + 128 + (half << 5) + l, upper);
    }
  }
  for (let block = 0; block < 16; block++) store<i8>(out + 192 + block, <i32>load<f32>(scales + (<usize>block << 2)));
}

export function encode_q6_k(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  const x = scratch;
  const w = x + (<usize>columns << 2);
  const integers = w + (<usize>columns << 2);
  const most = integers + (<usize>columns << 1);
  const ds = most + (<usize>columns >> 2);
  const superblocks: usize = columns >> 8;
  const steps = 2 + effort;
  const triedBelow: f32 = effort == 2 ? Infinity : 16;
  normalize_importance(importance, columns, w);
  prepare_residues(w, columns, integers, most);
  for (let row = 0; row < rows; row++, source += <usize>columns << 2) {
    load_row(source, columns, x);
    let square: f64 = 0;
    let product: f64 = 0;
    for (let superblock: usize = 0; superblock < superblocks; superblock++) {
      const at = superblock << 10;
      encode_superblock(x + at, w + at, integers + (at >> 1), most + (at >> 4), steps, triedBelow);
      store<f64>(ds + (superblock << 3), superblock_d);
      product += superblock_product;
      square += sum_f32x4(searched_square);
      pack(out + superblock * superblockBytes);
    }
    const correction = gain_correction(square, product);
    for (let superblock: usize = 0; superblock < superblocks; superblock++, out += superblockBytes) {
      store<u16>(out + 208, scale_to_f16(correction * load<f64>(ds + (superblock << 3))));
    }
  }
}
