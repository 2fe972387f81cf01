// SIMD reductions over float32 values (see ../reducer.ts). Compiled by scripts/build.mjs to dist/reduce/reduce.wasm.
// No allocation, no imports: the host lays out the memory behind heap_base(). Addresses are multiples of 4.

/** First address that the host may use. */
export function heap_base(): usize {
  return __heap_base;
}

/** sums[target + j] += rows[source + j]^2 for each entry (source, target: element numbers) in order, j < columns. */
export function add_squares(sums: usize, rows: usize, entries: usize, count: i32, columns: i32): void {
  const whole = columns & ~7;
  for (let entry = 0; entry < count; entry++) {
    const source = rows + ((<usize>load<u32>(entries)) << 2);
    const target = sums + ((<usize>load<u32>(entries, 4)) << 2);
    entries += 8;
    let column = 0;
    for (; column < whole; column += 8) {
      const from = source + (<usize>column << 2);
      const to = target + (<usize>column << 2);
      const low = v128.load(from);
      const high = v128.load(from, 16);
      v128.store(to, f32x4.add(v128.load(to), f32x4.mul(low, low)));
      v128.store(to, f32x4.add(v128.load(to, 16), f32x4.mul(high, high)), 16);
    }
    for (; column < columns; column++) {
      const value = load<f32>(source + (<usize>column << 2));
      const to = target + (<usize>column << 2);
      store<f32>(to, load<f32>(to) + value * value);
    }
  }
}

/** The largest of the values that are not NaN; -Infinity if there is none. `count` is a multiple of 16. */
export function max(values: usize, count: i32): f32 {
  const lowest = f32x4.splat(-Infinity);
  let a = lowest;
  let b = lowest;
  let c = lowest;
  let d = lowest;
  for (const end = values + (<usize>count << 2); values < end; values += 64) {
    // pmax(x, y) is y if x < y and otherwise x: one instruction, and a NaN never wins.
    a = f32x4.pmax(a, v128.load(values));
    b = f32x4.pmax(b, v128.load(values, 16));
    c = f32x4.pmax(c, v128.load(values, 32));
    d = f32x4.pmax(d, v128.load(values, 48));
  }
  const lanes = f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d));
  return f32.max(
    f32.max(f32x4.extract_lane(lanes, 0), f32x4.extract_lane(lanes, 1)),
    f32.max(f32x4.extract_lane(lanes, 2), f32x4.extract_lane(lanes, 3)),
  );
}

/** Number of the first value that equals `wanted`, or `count`, which is a multiple of 16. */
export function index_of(values: usize, count: i32, wanted: f32): i32 {
  const lanes = f32x4.splat(wanted);
  for (let i = 0; i < count; i += 4) {
    const equal = f32x4.eq(v128.load(values + (<usize>i << 2)), lanes);
    if (v128.any_true(equal)) return i + ctz(i32x4.bitmask(equal));
  }
  return count;
}

/** Smallest exponent whose exponential is a normal float32; what lies below counts as no weight. */
const LOWEST: f32 = -87.0;
/** 1.5 x 2^23: a float32 near 0 that is added to it is rounded to an integer, which its lowest bits then hold. */
const ROUNDER: f32 = 12582912.0;

/**
 * e^x for x in [-87, 0] or NaN: 2^n e^r with r in [-ln 2 / 2, ln 2 / 2], e^r by its Taylor series to r^6 / 6!.
 * Relative error below 3e-7, most of it the rounding of float32.
 */
// @ts-ignore: decorator
@inline
function exp(x: v128): v128 {
  const shifted = f32x4.add(f32x4.mul(x, f32x4.splat(1.4426950408889634)), f32x4.splat(ROUNDER));
  const n = f32x4.sub(shifted, f32x4.splat(ROUNDER));
  // ln 2 in two parts, the first of which is exact times n.
  const r = f32x4.sub(
    f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375))),
    f32x4.mul(n, f32x4.splat(-2.12194440054690583e-4)),
  );
  let p = f32x4.splat(1.0 / 720.0);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0 / 120.0));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0 / 24.0));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0 / 6.0));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.5));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0));
  // Adds n to the exponent's bits.
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

/** Weights e^(value - max) of four values, 0 where it is below e^-87; NaN where the value is. */
// @ts-ignore: decorator
@inline
function weights(values: v128, max: v128): v128 {
  const lowest = f32x4.splat(LOWEST);
  const x = f32x4.sub(values, max);
  return v128.andnot(exp(f32x4.pmax(x, lowest)), f32x4.lt(x, lowest));
}

// @ts-ignore: decorator
@inline
function low(values: v128): v128 {
  return f64x2.promote_low_f32x4(values);
}

// @ts-ignore: decorator
@inline
function high(values: v128): v128 {
  return f64x2.promote_low_f32x4(i8x16.shuffle(values, values, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
}

/**
 * Sum of e^(value - max) in float64, four at a time in float32; NaN if a value is. `count` is a multiple of 16: the
 * host fills up with -Infinity.
 */
export function sum_exp(values: usize, count: i32, max: f32): f64 {
  const top = f32x4.splat(max);
  let sum = f64x2.splat(0);
  for (const end = values + (<usize>count << 2); values < end; values += 64) {
    const a = f32x4.add(weights(v128.load(values), top), weights(v128.load(values, 16), top));
    const b = f32x4.add(weights(v128.load(values, 32), top), weights(v128.load(values, 48), top));
    const four = f32x4.add(a, b);
    sum = f64x2.add(sum, f64x2.add(low(four), high(four)));
  }
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}

/**
 * Sum of e^(p - max) (p - q) in float64, p and q being two rows. Where e^(p - max) is no weight, the difference
 * does not count either. `count` is a multiple of 16.
 */
export function sum_weighted_difference(p: usize, q: usize, count: i32, max: f32): f64 {
  const top = f32x4.splat(max);
  let even = f64x2.splat(0);
  let odd = f64x2.splat(0);
  for (const end = p + (<usize>count << 2); p < end; p += 16, q += 16) {
    const values = v128.load(p);
    const weight = weights(values, top);
    const counts = f32x4.ne(weight, f32x4.splat(0));
    const ours = v128.and(values, counts);
    const theirs = v128.and(v128.load(q), counts);
    even = f64x2.add(even, f64x2.mul(low(weight), f64x2.sub(low(ours), low(theirs))));
    odd = f64x2.add(odd, f64x2.mul(high(weight), f64x2.sub(high(ours), high(theirs))));
  }
  const sum = f64x2.add(even, odd);
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}

export { gram } from "./gram";
