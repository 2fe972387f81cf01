// The pool of a superblock: what searches found for its blocks, and the superblock scale that suits them best. The blocks
// are the lanes.
import { INTEGER, min_f32x4, sum_f32x4 } from "../lanes";
import {
  CHOSEN,
  entry_offset,
  POOL,
  POOL_Q2,
  POOL_QX,
  POOL_RATIO,
  POOL_SIZE,
  SCALE,
  SUBSCALE,
} from "./grid-memory";

/** Largest sub-scale of the format in use, four times. */
const MOST: usize = memory.data(16, 16);

/** Sums over the blocks that `choose` chose: factor * QX, factor^2 * Q2. */
let chosenQX: f32 = 0;
let chosenQ2: f32 = 0;

/** Empties the pool, for a format with sub-scales up to `largest`. Entries that are not there cost more than any other. */
export function empty_pool(largest: i32): void {
  v128.store(MOST, f32x4.splat(<f32>largest));
  memory.fill(POOL_SIZE, 0, 64);
  memory.fill(POOL_QX, 0, 64 * POOL);
  memory.fill(POOL_RATIO, 0, 64 * POOL);
  for (let at: usize = 0; at < 64 * POOL; at += 16) v128.store(at, f32x4.splat(f32.MAX_VALUE), POOL_Q2);
}

/** Entries of the block that has most. */
function most_entries(): i32 {
  const low = i32x4.max_s(v128.load(POOL_SIZE), v128.load(POOL_SIZE, 16));
  let most = i32x4.max_s(low, i32x4.max_s(v128.load(POOL_SIZE, 32), v128.load(POOL_SIZE, 48)));
  most = i32x4.max_s(most, v128.shuffle<u32>(most, most, 2, 3, 0, 1));
  return i32x4.extract_lane(i32x4.max_s(most, v128.shuffle<u32>(most, most, 1, 0, 3, 2)), 0);
}

/** The sub-scale nearest to ratios of scales, as 2 s + 1. `half` is 0.5 / scale. */
// @ts-ignore: decorator
@inline
function nearest_odd(ratio: v128, half: v128): v128 {
  const most = v128.load(MOST);
  const subscale = f32x4.pmax(f32x4.splat(0), f32x4.pmin(most, f32x4.floor(f32x4.mul(ratio, half))));
  return f32x4.add(f32x4.add(subscale, subscale), f32x4.splat(1));
}

/** Costs of an entry of four blocks at a superblock scale, each with the sub-scale nearest to its best scale. */
// @ts-ignore: decorator
@inline
function entry_costs(offset: usize, scale: v128, half: v128): v128 {
  const s = f32x4.mul(scale, nearest_odd(v128.load(offset, POOL_RATIO), half));
  const qx = v128.load(offset, POOL_QX);
  return f32x4.mul(s, f32x4.sub(f32x4.mul(s, v128.load(offset, POOL_Q2)), f32x4.add(qx, qx)));
}

/** Writes, for each block, the least cost of its entries at a superblock scale; the largest number if there is none. */
export function pool_costs(blocks: i32, scale: f32, out: usize): void {
  const entries = most_entries();
  const scales = f32x4.splat(scale);
  const half = f32x4.splat(<f32>0.5 / scale);
  for (let block: i32 = 0; block < blocks; block += 4) {
    let least = f32x4.splat(f32.MAX_VALUE);
    for (let entry: i32 = 0; entry < entries; entry++) {
      least = f32x4.pmin(least, entry_costs(entry_offset(block, entry), scales, half));
    }
    v128.store(out + (<usize>block << 2), least);
  }
}

/** Chooses the best entry of each block at a superblock scale: fills CHOSEN, SUBSCALE and SCALE. */
export function choose(blocks: i32, scale: f32): void {
  const entries = most_entries();
  const scales = f32x4.splat(scale);
  const half = f32x4.splat(<f32>0.5 / scale);
  let sumQX = f32x4.splat(0);
  let sumQ2 = f32x4.splat(0);
  for (let block: i32 = 0; block < blocks; block += 4) {
    let least = f32x4.splat(f32.MAX_VALUE);
    let chosen = i32x4.splat(0);
    for (let entry: i32 = 0; entry < entries; entry++) {
      const costs = entry_costs(entry_offset(block, entry), scales, half);
      chosen = v128.bitselect(i32x4.splat(entry), chosen, f32x4.lt(costs, least));
      least = f32x4.pmin(least, costs);
    }
    const offset = <usize>block << 2;
    let ratio = f32x4.splat(0);
    let qx = f32x4.splat(0);
    let q2 = f32x4.splat(0);
    for (let entry: i32 = 0; entry < entries; entry++) {
      const place = entry_offset(block, entry);
      const isChosen = i32x4.eq(chosen, i32x4.splat(entry));
      ratio = v128.bitselect(v128.load(place, POOL_RATIO), ratio, isChosen);
      qx = v128.bitselect(v128.load(place, POOL_QX), qx, isChosen);
      q2 = v128.bitselect(v128.load(place, POOL_Q2), q2, isChosen);
    }
    const factor = nearest_odd(ratio, half);
    sumQX = f32x4.add(sumQX, f32x4.mul(factor, qx));
    sumQ2 = f32x4.add(sumQ2, f32x4.mul(f32x4.mul(factor, factor), q2));
    v128.store(offset, chosen, CHOSEN);
    v128.store(offset, ratio, SCALE);
    // Of 2 s + 1 as an integer, s.
    const integer = f32x4.add(factor, f32x4.splat(INTEGER));
    v128.store(offset, v128.and(i32x4.shr_u(integer, 1), i32x4.splat(63)), SUBSCALE);
  }
  chosenQX = sum_f32x4(sumQX);
  chosenQ2 = sum_f32x4(sumQ2);
}

/**
 * The best superblock scale for the pool: the best of those around the given one, 2 % apart (one in each lane of
 * `quads` vectors), then least squares for what is chosen there.
 */
export function best_scale(blocks: i32, start: f32, quads: i32): f32 {
  let scale = start;
  let least = f32.MAX_VALUE;
  for (let quad: i32 = 0; quad < quads; quad++) {
    const first: f32 = <f32>1.01 - <f32>0.04 * <f32>(quads - 2 * quad);
    const scales = f32x4.mul(
      f32x4.splat(start),
      f32x4.add(f32x4.splat(first), f32x4(0, 0.02, 0.04, 0.06)),
    );
    const costs = total_costs(blocks, scales);
    const minimum = min_f32x4(costs);
    if (minimum < least) {
      least = minimum;
      const lane = ctz(i32x4.bitmask(f32x4.eq(costs, f32x4.splat(minimum))));
      scale = start * (first + <f32>0.02 * <f32>lane);
    }
  }
  choose(blocks, scale);
  return chosenQX > 0 ? chosenQX / chosenQ2 : scale;
}

/** Total cost of the pool at four superblock scales, which are the lanes here. */
function total_costs(blocks: i32, scales: v128): v128 {
  const half = f32x4.div(f32x4.splat(0.5), scales);
  let total = f32x4.splat(0);
  for (let block: i32 = 0; block < blocks; block++) {
    let least = f32x4.splat(f32.MAX_VALUE);
    const size = load<i32>(<usize>block << 2, POOL_SIZE);
    for (let entry: i32 = 0; entry < size; entry++) {
      const offset = entry_offset(block, entry);
      const s = f32x4.mul(scales, nearest_odd(v128.load32_splat(offset, POOL_RATIO), half));
      const qx = v128.load32_splat(offset, POOL_QX);
      const cost = f32x4.mul(
        s,
        f32x4.sub(f32x4.mul(s, v128.load32_splat(offset, POOL_Q2)), f32x4.add(qx, qx)),
      );
      least = f32x4.pmin(least, cost);
    }
    total = f32x4.add(total, least);
  }
  return total;
}
