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

/** y = x. A few values are copied sooner so than by `memory.copy`, which is a call out of the module. */
// @ts-ignore: decorator
@inline
export function copy(y: usize, x: usize, count: i32): void {
  const end = y + (<usize>count << 2);
  for (; y < end; y += 16, x += 16) v128.store(y, v128.load(x));
}

/** y = 0. */
// @ts-ignore: decorator
@inline
export function clear(y: usize, count: i32): void {
  const end = y + (<usize>count << 2);
  for (; y < end; y += 16) v128.store(y, f32x4.splat(0));
}

/** y = x y, element by element. */
// @ts-ignore: decorator
@inline
export function multiply(y: usize, x: usize, count: i32): void {
  const end = y + (<usize>count << 2);
  for (; y < end; y += 16, x += 16) v128.store(y, f32x4.mul(v128.load(y), v128.load(x)));
}

/** y += x. */
// @ts-ignore: decorator
@inline
export function add(y: usize, x: usize, count: i32): void {
  const end = y + (<usize>count << 2);
  for (; y < end; y += 16, x += 16) v128.store(y, f32x4.add(v128.load(y), v128.load(x)));
}

/** y = x - y. */
// @ts-ignore: decorator
@inline
export function subtract_from(x: usize, y: usize, count: i32): void {
  const end = y + (<usize>count << 2);
  for (; y < end; y += 16, x += 16) v128.store(y, f32x4.sub(v128.load(x), v128.load(y)));
}

/** y += x[0] A[0] + x[1] A[1] + ... for `rows` rows of A, `stride` bytes apart; `count` values each. */
// @ts-ignore: decorator
@inline
export function add_rows(y: usize, a: usize, stride: usize, x: usize, rows: i32, count: i32): void {
  const end = x + (<usize>rows << 2);
  let rest = count;
  for (; rest >= 8; rest -= 8, y += 32, a += 32) {
    let low = v128.load(y);
    let high = v128.load(y, 16);
    for (let p = x, line = a; p < end; p += 4, line += stride) {
      const factor = v128.load32_splat(p);
      low = f32x4.add(low, f32x4.mul(factor, v128.load(line)));
      high = f32x4.add(high, f32x4.mul(factor, v128.load(line, 16)));
    }
    v128.store(y, low);
    v128.store(y, high, 16);
  }
  if (rest > 0) {
    let sum = v128.load(y);
    for (let p = x, line = a; p < end; p += 4, line += stride) {
      sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(p), v128.load(line)));
    }
    v128.store(y, sum);
  }
}
