// Vectors of a multiple of four float32 values.
import { sum_f32x4 } from "../../kernels/assembly/lanes";

/** y += factor x. */
// @ts-ignore: decorator
@inline
export function add_scaled(y: usize, x: usize, factor: f32, count: i32): void {
  const f = f32x4.splat(factor);
  const end = y + (<usize>count << 2);
  for (; y < end; y += 16, x += 16) v128.store(y, f32x4.add(v128.load(y), f32x4.mul(f, v128.load(x))));
}

/** x y. */
// @ts-ignore: decorator
@inline
export function dot(x: usize, y: usize, count: i32): f32 {
  let sum = f32x4.splat(0);
  const end = x + (<usize>count << 2);
  for (; x < end; x += 16, y += 16) sum = f32x4.add(sum, f32x4.mul(v128.load(x), v128.load(y)));
  return sum_f32x4(sum);
}

/** y = x. */
// @ts-ignore: decorator
@inline
export function copy(y: usize, x: usize, count: i32): void {
  memory.copy(y, x, <usize>count << 2);
}
