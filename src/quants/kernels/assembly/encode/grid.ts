// Encoders of IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S. The algorithm: src/quants/grid-encode.ts; layouts:
//
//     IQ2_XXS  f16 d; per 32 weights: u8[4] points, u32 with 4 times 7 sign bits and the sub-scale in the upper 4
//     IQ2_XS   f16 d; u16[32]: 9 bits of point, 7 of signs; u8[8]: two sub-scales each, for 16 weights each
//     IQ2_S    f16 d; u8[32] points, low bits; u8[32] signs; u8[8] upper two bits of 4 points; u8[8] sub-scales
//     IQ3_XXS  f16 d; u8[64] points; u32[8]: 4 times 7 sign bits and the sub-scale
//     IQ3_S    f16 d; u8[64] points, low bits; u8[8] ninth bits of 8 points; u8[32] signs; u8[4]: two sub-scales each
import { iq2SGrid, iq2XsGrid, iq2XxsGrid, iq3SGrid, iq3XxsGrid } from "../tables";
import { load_superblock, loadedEnergy, normalizer } from "./grid-load";
import {
  cheapest_ranked,
  CHOSEN,
  ENERGY,
  FIRST_RANKED,
  LIMIT,
  odd,
  points_of,
  RANKED,
  RANKING,
  SCALE,
  SEARCHED,
  SEARCHED_COST,
  SEARCHED_RANK,
  SEARCHED_SCALE,
  SIGNS,
  SUBSCALE,
  SUPERBLOCK,
} from "./grid-memory";
import { best_scale, choose, empty_pool, pool_costs } from "./grid-pool";
import { mean_importance, representable_scale, unbiased_scales } from "./grid-row";
import * as iq2 from "./iq2-search";
import * as iq3 from "./iq3-search";
import { use_grid as use_iq3_grid } from "./iq3-tables";

const IQ2_XXS: i32 = 0;
const IQ2_XS: i32 = 1;
const IQ2_S: i32 = 2;
const IQ3_XXS: i32 = 3;
const IQ3_S: i32 = 4;

/** The format in use, its weights per block and bytes per superblock. */
let format: i32 = 0;
let blockWeights: i32 = 32;
let blocks: i32 = 8;

export function encode_iq2_xxs(source: usize, importance: usize, out: usize, rows: i32, columns: i32, effort: i32, scratch: usize): void {
  iq2.use_grid(iq2XxsGrid, 256);
  encode(IQ2_XXS, 32, 66, source, importance, out, rows, columns, effort, scratch);
}

export function encode_iq2_xs(source: usize, importance: usize, out: usize, rows: i32, columns: i32, effort: i32, scratch: usize): void {
  iq2.use_grid(iq2XsGrid, 512);
  encode(IQ2_XS, 16, 74, source, importance, out, rows, columns, effort, scratch);
}

export function encode_iq2_s(source: usize, importance: usize, out: usize, rows: i32, columns: i32, effort: i32, scratch: usize): void {
  iq2.use_grid(iq2SGrid, 1024);
  encode(IQ2_S, 16, 82, source, importance, out, rows, columns, effort, scratch);
}

export function encode_iq3_xxs(source: usize, importance: usize, out: usize, rows: i32, columns: i32, effort: i32, scratch: usize): void {
  use_iq3_grid(iq3XxsGrid, 256);
  encode(IQ3_XXS, 32, 98, source, importance, out, rows, columns, effort, scratch);
}

export function encode_iq3_s(source: usize, importance: usize, out: usize, rows: i32, columns: i32, effort: i32, scratch: usize): void {
  use_iq3_grid(iq3SGrid, 512);
  encode(IQ3_S, 32, 110, source, importance, out, rows, columns, effort, scratch);
}

/** Scratch: f32 per column of importance, then per superblock f64 of scale and of <W, Q> for scale 1. */
function encode(
  which: i32,
  weightsPerBlock: i32,
  bytes: i32,
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  format = which;
  blockWeights = weightsPerBlock;
  blocks = SUPERBLOCK / weightsPerBlock;
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
      if (factor > 0) {
        const even = which == IQ2_XXS || which == IQ2_XS || which == IQ3_XXS;
        load_superblock(source + at, scratch + at, factor, even, which < IQ3_XXS ? <f32>(1.0 / 3.0) : <f32>0.125);
        const found = encode_superblock(effort, factor);
        const unit: f64 = 1.0 / <f64>factor;
        square += <f64>loadedEnergy * unit * unit;
        scale = <f64>found * unit;
        product = <f64>superblock_product() * unit;
        pack(bytesAt);
      } else {
        memory.fill(bytesAt, 0, bytes);
      }
      store<f64>(scales + (<usize>k << 3), scale);
      store<f64>(products + (<usize>k << 3), product);
    }
    unbiased_scales(scales, products, superblocks, square);
    for (let k: i32 = 0; k < superblocks; k++) {
      store<u16>(out + <usize>(k * bytes), load<u16>(scales + (<usize>k << 3)));
    }
    source += <usize>columns << 2;
    out += <usize>(superblocks * bytes);
  }
}

/** Finds points and sub-scales of the superblock that is loaded; returns its scale. */
function encode_superblock(effort: i32, factor: f32): f32 {
  empty_pool(15);
  const largest = format < IQ3_XXS ? iq2.first_scales(blockWeights) : iq3.first_scales();
  let scale = representable_scale(largest, factor, 31, 7);
  if (effort == 0) {
    scale = round(scale, 2, 0, 2);
  } else if (effort == 1) {
    if (format == IQ2_S) scale = round(scale, 3, 0.03, 2);
    else if (format < IQ3_XXS) scale = round(scale, 4, 0.03, 3);
    else scale = round(scale, format == IQ3_XXS ? 3 : 4, 0.03, 4);
  } else {
    scale = round(scale, 7, format < IQ3_XXS ? 0.1 : 0.2, 5);
    scale = round(scale, 3, format < IQ3_XXS ? 0.03 : 0.1, 5);
  }
  choose(blocks, scale);
  return scale;
}

/**
 * One round: searches each block at up to `searches` sub-scales, in the order of their cost without the grid (IQ3: of
 * the cost that is expected with it), and chooses the superblock scale among 4 * `quads`. A block's search ends at a
 * sub-scale whose squared error exceeds the least so far by `margin` even then. All blocks take a step before any takes
 * the next.
 */
function round(scale: f32, searches: i32, margin: f32, quads: i32): f32 {
  pool_costs(blocks, scale, LIMIT);
  choose_ranked(scale);
  if (format < IQ3_XXS) iq2.rank_blocks(blockWeights, scale);
  else iq3.rank_blocks(scale, margin);
  for (let search: i32 = 0; search < searches; search++) {
    const count = choose_searched(scale);
    if (format < IQ3_XXS) iq2.search_blocks(count, blockWeights);
    else iq3.search_blocks(count);
    for (let i: usize = 0; i < <usize>count << 2; i += 4) {
      const offset = <usize>load<i32>(SEARCHED + i) << 2;
      const cost = load<f32>(SEARCHED_COST + i);
      // Costs are counted from all weights zero.
      const limit = cost + margin * (cost + load<f32>(offset, ENERGY));
      if (limit < load<f32>(offset, LIMIT)) store<f32>(offset, limit, LIMIT);
    }
  }
  return best_scale(blocks, scale, quads);
}

/** Chooses the sub-scales of each block that are ranked: RANKED of them, the fourth the last below its best scale. */
function choose_ranked(scale: f32): void {
  const half = f32x4.splat(<f32>0.5 / scale);
  for (let at: usize = 0; at < <usize>blocks << 2; at += 16) {
    const below = f32x4.floor(f32x4.sub(f32x4.mul(v128.load(at, SCALE), half), f32x4.splat(0.5)));
    const first = f32x4.pmax(
      f32x4.splat(0),
      f32x4.pmin(f32x4.splat(<f32>16 - <f32>RANKED), f32x4.sub(below, f32x4.splat(3))),
    );
    v128.store(at, f32x4.add(f32x4.add(first, first), f32x4.splat(1)), FIRST_RANKED);
  }
}

/** Fills SEARCHED with the blocks whose cheapest sub-scale left may be worth it, which counts as used then. Returns how many. */
function choose_searched(scale: f32): i32 {
  let count: i32 = 0;
  for (let block: i32 = 0; block < blocks; block++) {
    const next = cheapest_ranked(block);
    const place = RANKING + (<usize>(8 * block + next) << 2);
    if (load<f32>(place) >= load<f32>(<usize>block << 2, LIMIT)) continue;
    store<f32>(place, f32.MAX_VALUE);
    store<i32>(SEARCHED + (<usize>count << 2), block);
    store<i32>(SEARCHED_RANK + (<usize>count << 2), next);
    store<f32>(SEARCHED_SCALE + (<usize>count << 2), scale * (load<f32>(<usize>block << 2, FIRST_RANKED) + <f32>2 * <f32>next));
    count++;
  }
  return count;
}

/** <W, Q> of the superblock for scale 1, weighted by importance. */
function superblock_product(): f32 {
  let product: f32 = 0;
  for (let block: i32 = 0; block < blocks; block++) {
    const offset = <usize>block << 2;
    const points = points_of(block, load<i32>(offset, CHOSEN));
    const sum = format < IQ3_XXS ? iq2.block_product(block, blockWeights, points) : iq3.block_product(block, points);
    product += odd(load<i32>(offset, SUBSCALE)) * sum;
  }
  return product;
}


/** Point of a group of the chosen entries. */
// @ts-ignore: decorator
@inline
function point_at(block: i32, group: i32): u32 {
  return load<u16>(points_of(block, load<i32>(<usize>block << 2, CHOSEN)) + (<usize>group << 1));
}

/** Two sub-scales in a byte. */
// @ts-ignore: decorator
@inline
function subscale_pair(pair: i32): i32 {
  const at = <usize>pair << 3;
  return load<i32>(at, SUBSCALE) | (load<i32>(at, SUBSCALE + 4) << 4);
}

/** Four times seven sign bits and the sub-scale of a block of 32 weights. */
// @ts-ignore: decorator
@inline
function signs_and_subscale(block: i32): u32 {
  const signs = load<u32>(<usize>block << 2, SIGNS);
  return (
    (signs & 0x7f) |
    ((signs >> 1) & 0x3f80) |
    ((signs >> 2) & 0x1fc000) |
    ((signs >> 3) & 0xfe00000) |
    (load<u32>(<usize>block << 2, SUBSCALE) << 28)
  );
}

/** Writes all of a superblock but its scale. */
function pack(out: usize): void {
  if (format == IQ2_XXS) {
    for (let block: i32 = 0; block < 8; block++) {
      const at = out + 2 + (<usize>block << 3);
      for (let group: i32 = 0; group < 4; group++) store<u8>(at + <usize>group, point_at(block, group));
      store<u32>(at + 4, signs_and_subscale(block));
    }
  } else if (format == IQ2_XS) {
    for (let group: i32 = 0; group < 32; group++) {
      const signs = <u32>load<u8>(<usize>group, SIGNS) & 127;
      store<u16>(out + 2 + (<usize>group << 1), point_at(group >> 1, group & 1) | (signs << 9));
    }
    for (let pair: i32 = 0; pair < 8; pair++) store<u8>(out + 66 + <usize>pair, subscale_pair(pair));
  } else if (format == IQ2_S) {
    for (let four: i32 = 0; four < 8; four++) {
      let upper: u32 = 0;
      for (let i: i32 = 0; i < 4; i++) {
        const point = point_at(2 * four + (i >> 1), i & 1);
        store<u8>(out + 2 + <usize>(4 * four + i), point);
        upper |= (point >> 8) << (2 * i);
      }
      store<u8>(out + 66 + <usize>four, upper);
      store<u8>(out + 74 + <usize>four, subscale_pair(four));
    }
    memory.copy(out + 34, SIGNS, 32);
  } else if (format == IQ3_XXS) {
    for (let block: i32 = 0; block < 8; block++) {
      for (let group: i32 = 0; group < 8; group++) {
        store<u8>(out + 2 + <usize>(8 * block + group), point_at(block, group));
      }
      store<u32>(out + 66 + (<usize>block << 2), signs_and_subscale(block));
    }
  } else {
    for (let block: i32 = 0; block < 8; block++) {
      let ninth: u32 = 0;
      for (let group: i32 = 0; group < 8; group++) {
        const point = point_at(block, group);
        store<u8>(out + 2 + <usize>(8 * block + group), point);
        ninth |= (point >> 8) << group;
      }
      store<u8>(out + 66 + <usize>block, ninth);
    }
    memory.copy(out + 74, SIGNS, 32);
    for (let pair: i32 = 0; pair < 4; pair++) store<u8>(out + 106 + <usize>pair, subscale_pair(pair));
  }
}
