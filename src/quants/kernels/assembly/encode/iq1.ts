// Encoders of IQ1_S and IQ1_M. The algorithm: src/quants/iq1-encode.ts; layouts: src/quants/iq1.ts.
import { sum_f32x4 } from "../lanes";
import { normalizer } from "./grid-load";
import {
  cheapest_ranked,
  CHOSEN,
  ENERGY,
  IMPORTANCE,
  odd,
  points_of,
  LIMIT,
  RANKING,
  SCALE,
  SUBSCALE,
  SUPERBLOCK,
  W,
  WX,
  X,
} from "./grid-memory";
import { best_scale, choose, empty_pool, pool_costs } from "./grid-pool";
import { mean_importance, representable_scale, unbiased_scales } from "./grid-row";
import { block_product, first_scales, prepare_tables, rank, search_block } from "./iq1-search";

/** Largest sub-scale, and neighbouring sub-scales that are ranked. */
const MOST: i32 = 7;
const RANKED: i32 = 4;

/** The format in use: weights per block, and whether groups, not blocks, have shifts. */
let blockWeights: i32 = 32;
let groupShifts: bool = false;

export function encode_iq1_s(source: usize, importance: usize, out: usize, rows: i32, columns: i32, effort: i32, scratch: usize): void {
  blockWeights = 32;
  groupShifts = false;
  encode(50, source, importance, out, rows, columns, effort, scratch);
}

export function encode_iq1_m(source: usize, importance: usize, out: usize, rows: i32, columns: i32, effort: i32, scratch: usize): void {
  blockWeights = 16;
  groupShifts = true;
  encode(56, source, importance, out, rows, columns, effort, scratch);
}

/** Scratch: f32 per column of importance, then per superblock f64 of scale and of <W, Q> for scale 1. */
function encode(
  bytes: i32,
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  prepare_tables();
  const superblocks = columns / SUPERBLOCK;
  const scales = scratch + (<usize>columns << 2);
  const products = scales + (<usize>superblocks << 3);
  mean_importance(importance, columns, scratch);
  for (let row: i32 = 0; row < rows; row++) {
    let square: f64 = 0;
    for (let k: i32 = 0; k < superblocks; k++) {
      const at = <usize>k << 10;
      const bytesAt = out + <usize>(k * bytes);
      const factor = normalizer(source + at);
      let scale: f64 = 0;
      let product: f64 = 0;
      memory.fill(bytesAt, 0, bytes);
      if (factor > 0) {
        const energy = load_weights(source + at, scratch + at, factor);
        const found = encode_superblock(effort, factor);
        const unit: f64 = 1.0 / <f64>factor;
        square += <f64>energy * unit * unit;
        scale = <f64>found * unit;
        product = <f64>superblock_product() * unit;
        pack(bytesAt);
      }
      store<f64>(scales + (<usize>k << 3), scale);
      store<f64>(products + (<usize>k << 3), product);
    }
    unbiased_scales(scales, products, superblocks, square);
    for (let k: i32 = 0; k < superblocks; k++) {
      write_scale(load<u16>(scales + (<usize>k << 3)), out + <usize>(k * bytes));
    }
    source += <usize>columns << 2;
    out += <usize>(superblocks * bytes);
  }
}

/** Fills X, IMPORTANCE, W and WX; returns the sum of importance * weight^2. */
function load_weights(weights: usize, importance: usize, factor: f32): f32 {
  const factors = f32x4.splat(factor);
  let squares = f32x4.splat(0);
  let energy = f32x4.splat(0);
  for (let at: usize = 0; at < 1024; at += 16) {
    const x = f32x4.mul(v128.load(weights + at), factors);
    const square = f32x4.mul(x, x);
    v128.store(at, x, X);
    v128.store(at, v128.load(importance + at), IMPORTANCE);
    squares = f32x4.add(squares, square);
    energy = f32x4.add(energy, f32x4.mul(v128.load(importance + at), square));
  }
  const spread = f32x4.splat(sum_f32x4(squares) * <f32>(2.0 / 256.0));
  for (let at: usize = 0; at < 1024; at += 16) {
    const x = v128.load(at, X);
    const root = f32x4.sqrt(f32x4.sqrt(f32x4.sqrt(f32x4.add(spread, f32x4.mul(x, x)))));
    const w = f32x4.mul(v128.load(at, IMPORTANCE), root);
    v128.store(at, w, W);
    v128.store(at, f32x4.mul(w, x), WX);
  }
  return sum_f32x4(energy);
}

/** Finds points and sub-scales of the superblock that is loaded; returns its scale. */
function encode_superblock(effort: i32, factor: f32): f32 {
  empty_pool(MOST);
  let scale = representable_scale(first_scales(blockWeights), factor, 15, 5);
  if (effort == 0) {
    scale = round(scale, 2, 0, 3);
  } else if (effort == 1) {
    scale = round(scale, 4, 0.03, 3);
  } else {
    scale = round(scale, 6, 0.1, 5);
    scale = round(scale, 4, 0.03, 5);
  }
  choose(SUPERBLOCK / blockWeights, scale);
  return scale;
}

/** One round: see grid.ts. */
function round(scale: f32, searches: i32, margin: f32, quads: i32): f32 {
  const blocks = SUPERBLOCK / blockWeights;
  pool_costs(blocks, scale, LIMIT);
  for (let block: i32 = 0; block < blocks; block++) {
    const offset = <usize>block << 2;
    const centre = <i32>floor<f32>((load<f32>(offset, SCALE) / scale - <f32>1) * <f32>0.5);
    const low = min<i32>(MOST + 1 - RANKED, max<i32>(0, centre - 1));
    let limit = load<f32>(offset, LIMIT);
    rank(block, blockWeights, scale, low, groupShifts);
    for (let search: i32 = 0; search < searches; search++) {
      const next = cheapest_ranked(0);
      const place = RANKING + (<usize>next << 2);
      if (load<f32>(place) >= limit) break;
      store<f32>(place, f32.MAX_VALUE);
      const s = scale * odd(low + (next & 3));
      const shift: f32 = groupShifts ? 0 : next < 4 ? 0.125 : -0.125;
      const cost = search_block(block, blockWeights, s, shift, limit);
      // Costs are counted from all weights zero.
      const error = cost + load<f32>(offset, ENERGY);
      if (cost + margin * error < limit) limit = cost + margin * error;
    }
  }
  return best_scale(blocks, scale, quads);
}

/** <W, Q> of the superblock for scale 1, weighted by importance. */
function superblock_product(): f32 {
  let product: f32 = 0;
  for (let block: i32 = 0; block < SUPERBLOCK / blockWeights; block++) {
    const offset = <usize>block << 2;
    const sum = block_product(block, blockWeights, points_of(block, load<i32>(offset, CHOSEN)));
    product += odd(load<i32>(offset, SUBSCALE)) * sum;
  }
  return product;
}

/** Writes all of a superblock but its scale. */
function pack(out: usize): void {
  for (let block: i32 = 0; block < SUPERBLOCK / blockWeights; block++) {
    const points = points_of(block, load<i32>(<usize>block << 2, CHOSEN));
    const subscale = load<i32>(<usize>block << 2, SUBSCALE);
    if (groupShifts) {
      const first = <i32>load<u16>(points);
      const second = <i32>load<u16>(points, 2);
      store<u8>(out + (<usize>block << 1), first);
      store<u8>(out + (<usize>block << 1), second, 1);
      store<u8>(out + <usize>block, (first >> 8) | ((second >> 8) << 4), 32);
      const place = out + 48 + (<usize>(block >> 2) << 1);
      store<u16>(place, <i32>load<u16>(place) | (subscale << (3 * (block & 3))));
    } else {
      let word = (subscale << 12) | ((<i32>load<u16>(points) & 2048) << 4);
      for (let group: i32 = 0; group < 4; group++) {
        const point = <i32>load<u16>(points + (<usize>group << 1));
        store<u8>(out + <usize>(4 * block + group), point, 2);
        word |= ((point >> 8) & 7) << (3 * group);
      }
      store<u16>(out + (<usize>block << 1), word, 34);
    }
  }
}

/** Writes the F16 bits of d. */
function write_scale(bits: i32, out: usize): void {
  if (!groupShifts) {
    store<u16>(out, bits);
    return;
  }
  for (let quarter: i32 = 0; quarter < 4; quarter++) {
    const place = out + 49 + (<usize>quarter << 1);
    store<u8>(place, (<i32>load<u8>(place) & 15) | (((bits >> (4 * quarter)) & 15) << 4));
  }
}
