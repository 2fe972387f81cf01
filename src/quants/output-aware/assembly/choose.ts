// Choosing the values of a unit: whole numbers, or points of a grid with signs. The references are choose() of
// ../integer-format.ts and ../grid-format.ts, and ../../grid-search.ts.

/** 0: whole numbers from `low` to `high`; otherwise levels of a grid, 3 or 8. */
let levels: i32 = 0;
let low: f32 = 0;
let high: f32 = 0;
/** Weights in a group, and in a unit. */
let group: i32 = 0;
let unit: i32 = 1;
let even_signs: bool = false;

/** f32[8]: magnitudes of the levels, and the bounds between them (infinite after the last). */
export const MAGNITUDES: usize = memory.data(32, 16);
export const BOUNDS: usize = memory.data(32, 16);
/** Points by the pattern of their first half: u16[82], and u8[1024] the patterns of the second halves. */
export const STARTS: usize = memory.data(176, 16);
export const SECONDS: usize = memory.data(1024, 16);
/** u8[6561]: whether two half patterns make a point. */
export const IS_POINT: usize = memory.data(6576, 16);

/** f32[8]: magnitudes of the targets; negative where the sign will be wrong. */
const X: usize = memory.data(32, 16);
/** f32[8][8]: cost of each weight at each level. */
const COSTS: usize = memory.data(256, 16);
/** f32[81], padded: costs of the patterns of both halves. */
const FIRST: usize = memory.data(336, 16);
const SECOND: usize = memory.data(336, 16);

export function use_integers(lowest: f32, highest: f32): void {
  levels = 0;
  unit = 1;
  low = lowest;
  high = highest;
}

/** The host has filled the tables. */
export function use_grid(levelCount: i32, groupWeights: i32, evenSigns: i32): void {
  levels = levelCount;
  group = groupWeights;
  even_signs = evenSigns != 0;
  unit = even_signs ? 8 : group;
}

/** Values for `unit` targets, such that scale x value comes near; `weights` say how much each difference matters. */
// @ts-ignore: decorator
@inline
export function choose(targets: usize, weights: usize, scale: f32, values: usize): void {
  if (levels == 0) {
    const ratio = scale == 0 ? <f32>0 : load<f32>(targets) / scale;
    store<f32>(values, max<f32>(low, min<f32>(high, nearest<f32>(ratio))));
  } else {
    choose_points(targets, weights, scale, values);
  }
}

function choose_points(targets: usize, weights: usize, scale: f32, values: usize): void {
  const bytes = <usize>unit << 2;
  for (let i: usize = 0; i < bytes; i += 16) v128.store(X + i, f32x4.abs(v128.load(targets + i)));
  let wrong: i32 = -1;
  if (even_signs) {
    wrong = wrong_sign(targets, weights, scale);
    if (wrong >= 0) store<f32>(X + (<usize>wrong << 2), -load<f32>(X + (<usize>wrong << 2)));
  }
  const step = <usize>group << 2;
  for (let at: usize = 0; at < bytes; at += step) {
    search(X + at, weights + at, scale, values + at);
  }
  const sign = i32x4.splat(0x80000000);
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(values + i, v128.xor(v128.load(values + i), v128.and(v128.load(targets + i), sign)));
  }
  if (wrong >= 0) {
    const place = values + (<usize>wrong << 2);
    store<f32>(place, -load<f32>(place));
  }
}

/** The weight whose sign is turned to make the number of minus signs even, or -1 if it is. */
function wrong_sign(targets: usize, weights: usize, scale: f32): i32 {
  const signs = i32x4.bitmask(v128.load(targets)) | (i32x4.bitmask(v128.load(targets, 16)) << 4);
  if ((popcnt(signs) & 1) == 0) return -1;
  let cheapest: i32 = 0;
  let least: f32 = Infinity;
  for (let i: i32 = 0; i < 8; i++) {
    const x = load<f32>(X + (<usize>i << 2));
    const cost = load<f32>(weights + (<usize>i << 2)) * x * (x + <f32>2 * scale);
    if (cost < least) {
      least = cost;
      cheapest = i;
    }
  }
  return cheapest;
}

/** Writes the magnitudes of the point nearest to a group. */
function search(x: usize, weights: usize, scale: f32, out: usize): void {
  const half = group >> 1;
  let patterns: i32 = 1;
  for (let i: i32 = 0; i < half; i++) patterns *= levels;
  let first: i32 = 0;
  let second: i32 = 0;
  let at: usize = COSTS;
  for (let i: i32 = 0; i < group; i++, at += 32) {
    const value = load<f32>(x + (<usize>i << 2));
    const weight = load<f32>(weights + (<usize>i << 2));
    let level: i32 = 0;
    let least: f32 = Infinity;
    for (let l: i32 = 0; l < levels; l++) {
      const q = scale * load<f32>(MAGNITUDES + (<usize>l << 2));
      const cost = weight * q * (q - <f32>2 * value);
      store<f32>(at + (<usize>l << 2), cost);
      if (cost < least) {
        least = cost;
        level = l;
      }
    }
    if (i < half) first = first * levels + level;
    else second = second * levels + level;
  }
  if (load<u8>(IS_POINT + <usize>(first * patterns + second)) == 0) {
    pattern_costs(COSTS, half, FIRST);
    pattern_costs(COSTS + (<usize>half << 5), half, SECOND);
    const least = load<f32>(SECOND + (<usize>second << 2));
    let best = <f32>Infinity;
    let bestFirst = first;
    let bestSecond = second;
    // The first half that would be best alone comes first: it makes the bound tight from the start.
    for (let next: i32 = -1; next < patterns; next++) {
      const pattern = next < 0 ? first : next;
      const cost = load<f32>(FIRST + (<usize>pattern << 2));
      if (cost + least >= best) continue;
      const end = <i32>load<u16>(STARTS + (<usize>(pattern + 1) << 1));
      for (let k = <i32>load<u16>(STARTS + (<usize>pattern << 1)); k < end; k++) {
        const other = <usize>load<u8>(SECONDS + <usize>k);
        const total = cost + load<f32>(SECOND + (other << 2));
        if (total < best) {
          best = total;
          bestFirst = pattern;
          bestSecond = <i32>other;
        }
      }
    }
    first = bestFirst;
    second = bestSecond;
  }
  store_magnitudes(first, out, half);
  store_magnitudes(second, out + (<usize>half << 2), half);
}

// @ts-ignore: decorator
@inline
function store_magnitudes(pattern: i32, out: usize, half: i32): void {
  for (let i = half - 1; i >= 0; i--) {
    const rest = pattern / levels;
    store<f32>(out + (<usize>i << 2), load<f32>(MAGNITUDES + (<usize>(pattern - rest * levels) << 2)));
    pattern = rest;
  }
}

/** Costs of all patterns of half a group, the first weight's level as the highest digit. */
function pattern_costs(costs: usize, half: i32, out: usize): void {
  if (levels == 8) {
    const low = v128.load(costs + 32);
    const high = v128.load(costs + 32, 16);
    for (let l: usize = 0; l < 32; l += 4, out += 32) {
      const first = v128.load32_splat(costs + l);
      v128.store(out, f32x4.add(first, low));
      v128.store(out, f32x4.add(first, high), 16);
    }
    return;
  }
  // Three levels each of four weights: sums of two in nines, then nine times nine.
  for (let a: usize = 0; a < 12; a += 4) {
    for (let b: usize = 0; b < 12; b += 4) {
      const ab = load<f32>(costs + a) + load<f32>(costs + 32 + b);
      for (let c: usize = 0; c < 12; c += 4) {
        const abc = ab + load<f32>(costs + 64 + c);
        store<f32>(out, abc + load<f32>(costs + 96));
        store<f32>(out + 4, abc + load<f32>(costs + 100));
        store<f32>(out + 8, abc + load<f32>(costs + 104));
        out += 12;
      }
    }
  }
}
