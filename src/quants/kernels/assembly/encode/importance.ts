// Importance as the encoders of formats with scales need it. Reference: src/quants/importance.ts.
import { max_f32x4 } from "../lanes";

/** Sum in float64; lane i adds values i, i + 4, ... */
function total(importance: usize, columns: i32): f64 {
  let sum01 = f64x2.splat(0);
  let sum23 = f64x2.splat(0);
  for (const end = importance + (<usize>columns << 2); importance < end; importance += 16) {
    sum01 = f64x2.add(sum01, f64x2.promote_low_f32x4(v128.load64_zero(importance)));
    sum23 = f64x2.add(sum23, f64x2.promote_low_f32x4(v128.load64_zero(importance, 8)));
  }
  return (
    f64x2.extract_lane(sum01, 0) +
    f64x2.extract_lane(sum01, 1) +
    (f64x2.extract_lane(sum23, 0) + f64x2.extract_lane(sum23, 1))
  );
}

/** Writes `columns` (a multiple of 32) float32 to `out`: importance with mean 1 and floors. Address 0: all 1. */
export function normalize_importance(importance: usize, columns: i32, out: usize): void {
  const end = out + (<usize>columns << 2);
  const sum = importance == 0 ? 0 : total(importance, columns);
  if (sum == 0) {
    for (; out < end; out += 16) v128.store(out, f32x4.splat(1));
    return;
  }
  const inverse = f32x4.splat(<f32>(<f64>columns / sum));
  for (; out < end; out += 128, importance += 128) {
    let largest = f32x4.splat(1e-6);
    for (let i: usize = 0; i < 128; i += 16) {
      const scaled = f32x4.mul(v128.load(importance + i), inverse);
      v128.store(out + i, scaled);
      largest = f32x4.pmax(largest, scaled);
    }
    const floor = f32x4.splat(<f32>(<f64>max_f32x4(largest) * 1e-6));
    for (let i: usize = 0; i < 128; i += 16) v128.store(out + i, f32x4.pmax(v128.load(out + i), floor));
  }
}
