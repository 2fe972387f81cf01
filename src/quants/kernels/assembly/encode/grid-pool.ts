// The pool of a superblock: what searches found for its blocks, and the superblock scale that suits them best.
import {
  CHOSEN,
  entry_offset,
  odd,
  POOL,
  POOL_Q2,
  POOL_QX,
  POOL_RATIO,
  POOL_SIZE,
  SCALE,
  SUBSCALE,
} from "./grid-memory";

/** Largest sub-scale of the format in use. */
let most: i32 = 15;

/** Empties the pool, for a format with sub-scales up to `largest`. Entries that are not there cost more than any other. */
export function empty_pool(largest: i32): void {
  most = largest;
  memory.fill(POOL_SIZE, 0, 64);
  memory.fill(POOL_QX, 0, 64 * POOL);
  memory.fill(POOL_RATIO, 0, 64 * POOL);
  for (let at: usize = 0; at < 64 * POOL; at += 16) v128.store(at, f32x4.splat(f32.MAX_VALUE), POOL_Q2);
}

/** Sub-scale s whose 2 s + 1 is nearest to a ratio of scales. */
// @ts-ignore: decorator
@inline
export function nearest_subscale(ratio: f32): i32 {
  const s = <i32>(ratio * <f32>0.5);
  return s < 0 ? 0 : s > most ? most : s;
}

/**
 * Costs of four entries of a block, each with the sub-scale nearest to its best scale.
 * @param half 0.5 / scale
 */
// @ts-ignore: decorator
@inline
function entry_costs(offset: usize, scale: f32, half: v128): v128 {
  const ratio = f32x4.floor(f32x4.mul(v128.load(offset, POOL_RATIO), half));
  const subscale = f32x4.pmax(f32x4.splat(0), f32x4.pmin(f32x4.splat(<f32>most), ratio));
  const s = f32x4.mul(f32x4.splat(scale), f32x4.add(f32x4.add(subscale, subscale), f32x4.splat(1)));
  const qx = v128.load(offset, POOL_QX);
  return f32x4.mul(s, f32x4.sub(f32x4.mul(s, v128.load(offset, POOL_Q2)), f32x4.add(qx, qx)));
}

/** Least of the four lanes. */
// @ts-ignore: decorator
@inline
function min_f32x4(v: v128): f32 {
  v = f32x4.pmin(v, v128.shuffle<u32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.pmin(v, v128.shuffle<u32>(v, v, 1, 0, 3, 2)), 0);
}

/** Least cost of a block's entries at a superblock scale; the largest number if there is none. */
export function pool_cost(block: i32, scale: f32): f32 {
  const size = load<i32>(<usize>block << 2, POOL_SIZE);
  if (size == 0) return f32.MAX_VALUE;
  const half = f32x4.splat(<f32>0.5 / scale);
  let least = entry_costs(entry_offset(block, 0), scale, half);
  if (size > 4) least = f32x4.pmin(least, entry_costs(entry_offset(block, 4), scale, half));
  if (size > 8) least = f32x4.pmin(least, entry_costs(entry_offset(block, 8), scale, half));
  return min_f32x4(least);
}

/** Chooses the best entry of each block at a superblock scale: fills CHOSEN, SUBSCALE and SCALE. */
export function choose(blocks: i32, scale: f32): void {
  const inverse: f32 = <f32>1 / scale;
  const half = f32x4.splat(<f32>0.5 * inverse);
  for (let block: i32 = 0; block < blocks; block++) {
    const size = load<i32>(<usize>block << 2, POOL_SIZE);
    let least = f32.MAX_VALUE;
    let chosen: i32 = 0;
    for (let entry: i32 = 0; entry < size; entry += 4) {
      const costs = entry_costs(entry_offset(block, entry), scale, half);
      const cost = min_f32x4(costs);
      if (cost < least) {
        least = cost;
        chosen = entry + ctz(i32x4.bitmask(f32x4.eq(costs, f32x4.splat(cost))));
      }
    }
    const ratio = load<f32>(entry_offset(block, chosen), POOL_RATIO);
    store<i32>(<usize>block << 2, chosen, CHOSEN);
    store<i32>(<usize>block << 2, nearest_subscale(ratio * inverse), SUBSCALE);
    store<f32>(<usize>block << 2, ratio, SCALE);
  }
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
    const costs = pool_costs(blocks, scales);
    const minimum = min_f32x4(costs);
    if (minimum < least) {
      least = minimum;
      const lane = ctz(i32x4.bitmask(f32x4.eq(costs, f32x4.splat(minimum))));
      scale = start * (first + <f32>0.02 * <f32>lane);
    }
  }
  choose(blocks, scale);
  let qx: f32 = 0;
  let q2: f32 = 0;
  for (let block: i32 = 0; block < blocks; block++) {
    const factor = odd(load<i32>(<usize>block << 2, SUBSCALE));
    const offset = entry_offset(block, load<i32>(<usize>block << 2, CHOSEN));
    qx += factor * load<f32>(offset, POOL_QX);
    q2 += factor * factor * load<f32>(offset, POOL_Q2);
  }
  return qx > 0 ? qx / q2 : scale;
}

/** Total cost of the pool at four superblock scales. */
function pool_costs(blocks: i32, scales: v128): v128 {
  const half = f32x4.div(f32x4.splat(0.5), scales);
  const zero = f32x4.splat(0);
  const largest = f32x4.splat(<f32>most);
  const one = f32x4.splat(1);
  let total = zero;
  for (let block: i32 = 0; block < blocks; block++) {
    let least = f32x4.splat(f32.MAX_VALUE);
    const size = load<i32>(<usize>block << 2, POOL_SIZE);
    for (let entry: i32 = 0; entry < size; entry++) {
      const offset = entry_offset(block, entry);
      const qx = v128.load32_splat(offset, POOL_QX);
      const q2 = v128.load32_splat(offset, POOL_Q2);
      const ratio = f32x4.floor(f32x4.mul(v128.load32_splat(offset, POOL_RATIO), half));
      const subscale = f32x4.pmax(zero, f32x4.pmin(largest, ratio));
      const s = f32x4.mul(scales, f32x4.add(f32x4.add(subscale, subscale), one));
      const cost = f32x4.mul(s, f32x4.sub(f32x4.mul(s, q2), f32x4.add(qx, qx)));
      least = f32x4.pmin(least, cost);
    }
    total = f32x4.add(total, least);
  }
  return total;
}
