// What is asked of every batch of weights. The reference is src/quants/measure.ts.

const exponentMask: i32 = 0x7f800000;

/** Whether none of `count` float32 weights is infinite or NaN: 1 or 0. */
export function is_finite(weights: usize, count: i32): i32 {
  const mask = i32x4.splat(exponentMask);
  let bad = i32x4.splat(0);
  const quads = count & ~3;
  for (let i: i32 = 0; i < quads; i += 4) {
    const bits = v128.load(weights + (<usize>i << 2));
    bad = v128.or(bad, i32x4.eq(v128.and(bits, mask), mask));
  }
  for (let i = quads; i < count; i++) {
    if ((load<i32>(weights + (<usize>i << 2)) & exponentMask) == exponentMask) return 0;
  }
  return v128.any_true(bad) ? 0 : 1;
}

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
  for (let row: i32 = 0; row < rows; row++) {
    let energy01 = f64x2.splat(0);
    let energy23 = f64x2.splat(0);
    let loss01 = f64x2.splat(0);
    let loss23 = f64x2.splat(0);
    let error01 = f64x2.splat(0);
    let error23 = f64x2.splat(0);
    const end = <usize>columns << 2;
    for (let at: usize = 0; at < end; at += 16) {
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
    store<f64>(sums + 8, total(loss01, loss23));
    store<f64>(sums + 16, total(error01, error23));
    sums += 24;
    weights += end;
    decoded += end;
  }
}

function total(sum01: v128, sum23: v128): f64 {
  return (
    f64x2.extract_lane(sum01, 0) +
    f64x2.extract_lane(sum01, 1) +
    (f64x2.extract_lane(sum23, 0) + f64x2.extract_lane(sum23, 1))
  );
}
