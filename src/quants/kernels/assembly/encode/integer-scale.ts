// The integer scale of a block of a superblock. Reference: src/quants/k-scale-encode.ts.
import { level_places, levels_at, nearest_code } from "./scale-search";

/** The best integer scale of a block among four around `center`, a candidate in each lane. */
// @ts-ignore: decorator
@inline
export function search_integer(
  x: usize,
  w: usize,
  count: i32,
  center: f32,
  d: f32,
  low: f32,
  high: f32,
  lowScale: f32,
  highScale: f32,
  levels: bool,
): f32 {
  const steps = f32x4(-1, 0, 1, 2);
  const candidates = f32x4.add(f32x4.splat(center), center < 0 ? f32x4.neg(steps) : steps);
  const integers = f32x4.pmax(f32x4.splat(lowScale), f32x4.pmin(f32x4.splat(highScale), candidates));
  const scale = f32x4.mul(f32x4.splat(d), integers);
  const inverse = v128.and(f32x4.div(f32x4.splat(1), scale), f32x4.ne(scale, f32x4.splat(0)));
  const lows = f32x4.splat(low);
  const highs = f32x4.splat(high);
  let c = f32x4.splat(0);
  let v = f32x4.splat(0);
  for (const end = x + (<usize>count << 2); x < end; x += 4, w += 4) {
    const weight = v128.load32_splat(x);
    const quotient = f32x4.mul(weight, inverse);
    const code = levels ? levels_at(level_places(quotient)) : nearest_code(quotient, lows, highs);
    const weighted = f32x4.mul(v128.load32_splat(w), code);
    c = f32x4.add(c, f32x4.mul(weighted, weight));
    v = f32x4.add(v, f32x4.mul(weighted, code));
  }
  const errors = f32x4.mul(scale, f32x4.sub(f32x4.mul(scale, v), f32x4.add(c, c)));
  let least: f32 = f32x4.extract_lane(errors, 0);
  let found: f32 = f32x4.extract_lane(integers, 0);
  if (f32x4.extract_lane(errors, 1) < least) {
    least = f32x4.extract_lane(errors, 1);
    found = f32x4.extract_lane(integers, 1);
  }
  if (f32x4.extract_lane(errors, 2) < least) {
    least = f32x4.extract_lane(errors, 2);
    found = f32x4.extract_lane(integers, 2);
  }
  if (f32x4.extract_lane(errors, 3) < least) found = f32x4.extract_lane(integers, 3);
  return found;
}
