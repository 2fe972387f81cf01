// What is asked of every batch of weights. The reference is src/quants/measure.ts.

const exponentMask: i32 = 0x7f800000;

/** Zeros if four float32 are finite: of what is not, nothing can be subtracted. */
// @ts-ignore: decorator
@inline
function zero_if_finite(at: usize): v128 {
  const weights = v128.load(at);
  return f32x4.sub(weights, weights);
}

/** Whether none of `count` float32 weights is infinite or NaN: 1 or 0. */
export function is_finite(weights: usize, count: i32): i32 {
  let bad = i32x4.splat(0);
  const end = weights + (<usize>count << 2);
  for (; weights + 64 <= end; weights += 64) {
    const low = v128.or(zero_if_finite(weights), zero_if_finite(weights + 16));
    const high = v128.or(zero_if_finite(weights + 32), zero_if_finite(weights + 48));
    bad = v128.or(bad, v128.or(low, high));
  }
  for (; weights < end; weights += 4) {
    if ((load<i32>(weights) & exponentMask) == exponentMask) return 0;
  }
  return v128.any_true(bad) ? 0 : 1;
}

/** Bytes of a run: 64 columns. */
const runBytes: usize = 256;
const leastEnergy: f64 = 1.0 / 1125899906842624.0;
const largestSum: f64 = 1267650600228229401496703205376.0;

/**
 * Per row, three float64 to `sums`: importance * w * w, importance * w * (w - q), importance * (w - q)^2, summed
 * over `columns`, a multiple of 4. The order of additions is that of the reference.
 */
export function measure(
  weights: usize,
  decoded: usize,
  importance: usize,
  rows: i32,
  columns: i32,
  sums: usize,
): void {
  const bytes = <usize>columns << 2;
  for (let row: i32 = 0; row < rows; row++, weights += bytes, decoded += bytes, sums += 24) {
    measure_in_runs(weights, decoded, importance, bytes, sums);
    const energy = load<f64>(sums);
    const isSafe = energy >= leastEnergy && energy <= largestSum && load<f64>(sums, 16) <= largestSum;
    if (!isSafe) measure_in_full(weights, decoded, importance, bytes, sums);
  }
}

/** One row, with products in float32. */
// @ts-ignore: decorator
@inline
function measure_in_runs(weights: usize, decoded: usize, importance: usize, bytes: usize, sums: usize): void {
  let energy01 = f64x2.splat(0);
  let energy23 = f64x2.splat(0);
  let loss01 = f64x2.splat(0);
  let loss23 = f64x2.splat(0);
  let error01 = f64x2.splat(0);
  let error23 = f64x2.splat(0);
  for (let start: usize = 0; start < bytes; start += runBytes) {
    let energy = f32x4.splat(0);
    let loss = f32x4.splat(0);
    let error = f32x4.splat(0);
    const end = min(start + runBytes, bytes);
    for (let at = start; at < end; at += 16) {
      const i = v128.load(importance + at);
      const w = v128.load(weights + at);
      const d = f32x4.sub(w, v128.load(decoded + at));
      const iw = f32x4.mul(i, w);
      energy = f32x4.add(energy, f32x4.mul(iw, w));
      loss = f32x4.add(loss, f32x4.mul(iw, d));
      error = f32x4.add(error, f32x4.mul(f32x4.mul(i, d), d));
    }
    energy01 = f64x2.add(energy01, f64x2.promote_low_f32x4(energy));
    energy23 = f64x2.add(energy23, f64x2.promote_low_f32x4(upper_pair(energy)));
    loss01 = f64x2.add(loss01, f64x2.promote_low_f32x4(loss));
    loss23 = f64x2.add(loss23, f64x2.promote_low_f32x4(upper_pair(loss)));
    error01 = f64x2.add(error01, f64x2.promote_low_f32x4(error));
    error23 = f64x2.add(error23, f64x2.promote_low_f32x4(upper_pair(error)));
  }
  store<f64>(sums, total(energy01, energy23));
  store<f64>(sums, total(loss01, loss23), 8);
  store<f64>(sums, total(error01, error23), 16);
}

/** One row, with products in float64. */
function measure_in_full(weights: usize, decoded: usize, importance: usize, bytes: usize, sums: usize): void {
  let energy01 = f64x2.splat(0);
  let energy23 = f64x2.splat(0);
  let loss01 = f64x2.splat(0);
  let loss23 = f64x2.splat(0);
  let error01 = f64x2.splat(0);
  let error23 = f64x2.splat(0);
  for (let at: usize = 0; at < bytes; at += 16) {
    let i = f64x2.promote_low_f32x4(v128.load64_zero(importance + at));
    let w = f64x2.promote_low_f32x4(v128.load64_zero(weights + at));
    let d = f64x2.sub(w, f64x2.promote_low_f32x4(v128.load64_zero(decoded + at)));
    let iw = f64x2.mul(i, w);
    energy01 = f64x2.add(energy01, f64x2.mul(iw, w));
    loss01 = f64x2.add(loss01, f64x2.mul(iw, d));
    error01 = f64x2.add(error01, f64x2.mul(f64x2.mul(i, d), d));

    i = f64x2.promote_low_f32x4(v128.load64_zero(importance + at, 8));
    w = f64x2.promote_low_f32x4(v128.load64_zero(weights + at, 8));
    d = f64x2.sub(w, f64x2.promote_low_f32x4(v128.load64_zero(decoded + at, 8)));
    iw = f64x2.mul(i, w);
    energy23 = f64x2.add(energy23, f64x2.mul(iw, w));
    loss23 = f64x2.add(loss23, f64x2.mul(iw, d));
    error23 = f64x2.add(error23, f64x2.mul(f64x2.mul(i, d), d));
  }
  store<f64>(sums, total(energy01, energy23));
  store<f64>(sums, total(loss01, loss23), 8);
  store<f64>(sums, total(error01, error23), 16);
}

// @ts-ignore: decorator
@inline
function upper_pair(v: v128): v128 {
  return v128.shuffle<u64>(v, v, 1, 1);
}

function total(sum01: v128, sum23: v128): f64 {
  return (
    f64x2.extract_lane(sum01, 0) +
    f64x2.extract_lane(sum01, 1) +
    (f64x2.extract_lane(sum23, 0) + f64x2.extract_lane(sum23, 1))
  );
}
