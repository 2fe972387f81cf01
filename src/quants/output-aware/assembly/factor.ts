// Making of second moments what the encoder reads: the passes over whole matrices that are no products. Matrices are
// float32, n x n, row after row, and only their upper triangle counts; the reference is ../factor.ts.

import { rounded_pair } from "./rounded-product";

const PANEL: i32 = 256;

/** Multiplies the upper triangle by a factor, each value rounded once. */
export function scale_upper(matrix: usize, n: i32, factor: f64): void {
  const f = f64x2.splat(factor);
  for (let i: i32 = 0; i < n; i++, matrix += <usize>n << 2) {
    for (let j = i & ~3; j < n; j += 4) {
      const place = matrix + (<usize>j << 2);
      const x = v128.load(place);
      const low = f64x2.mul(f64x2.promote_low_f32x4(x), f);
      const high = f64x2.mul(f64x2.promote_low_f32x4(v128.shuffle<u32>(x, x, 2, 3, 0, 1)), f);
      const pair = v128.shuffle<u64>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2);
      v128.store(place, pair);
    }
  }
}

/**
 * Both triangles of a symmetric matrix times a factor and 2^14 in int16, in the tiles of `rounded-product.ts`.
 * @param n a multiple of 8
 * @param deviations 0, or f32[n]: each value is divided by those of its row and column; 0 where one of them is
 */
export function fill_rounded(matrix: usize, n: i32, factor: f64, deviations: usize, tiles: usize): void {
  const stride = <usize>n;
  for (let i0: usize = 0; i0 < stride; i0 += 8) {
    for (let j0 = i0; j0 < stride; j0 += 8) {
      const own = tiles + ((j0 * stride + 8 * i0) << 1);
      const mirrored = tiles + ((i0 * stride + 8 * j0) << 1);
      for (let a: usize = 0; a < 8; a++) {
        for (let b = i0 == j0 ? a : 0; b < 8; b++) {
          const i = i0 + a;
          const j = j0 + b;
          let value = <f64>load<f32>(matrix + ((i * stride + j) << 2)) * factor;
          if (deviations != 0) {
            const unit = <f64>load<f32>(deviations + (i << 2)) * <f64>load<f32>(deviations + (j << 2));
            value = unit > 0 ? value / unit : 0;
          }
          const rounded = <i32>Math.floor(<f64>(<f32>value) * 16384 + 0.5);
          store<i16>(own + (((a & ~1) << 3) + (b << 1) + (a & 1) << 1), rounded);
          store<i16>(mirrored + (((b & ~1) << 3) + (a << 1) + (b & 1) << 1), rounded);
        }
      }
    }
  }
}

/**
 * U, of the root R of H: R times the inverses of its own diagonal blocks, zero up to the end of a row's own unit.
 * @param inverses f64: `unit` x `unit` values for each unit
 * @param deviations f32[n], above 0
 * @param column f32[n][8]: room for eight columns
 * @param tiles gets U_ij / deviations_i in the tiles of `rounded-product.ts`, the largest of each column 2^14
 * @param scales f32[n]: gets what the largest were
 * @param near gets the diagonal panels of U, row after row
 */
export function fill_feedback(
  root: usize,
  n: i32,
  unit: i32,
  inverses: usize,
  deviations: usize,
  column: usize,
  tiles: usize,
  scales: usize,
  near: usize,
): void {
  for (let from: i32 = 0; from < n; from += 8) {
    feedback_columns(root, n, unit, inverses, from, column);
    const panel = from & ~(PANEL - 1);
    for (let i = panel; i < panel + PANEL; i++) {
      const place = near + ((<usize>i * PANEL + <usize>(from - panel)) << 2);
      v128.store(place, v128.load(column + (<usize>i << 5)));
      v128.store(place, v128.load(column + (<usize>i << 5), 16), 16);
    }
    round_columns(column, n, deviations, tiles + ((<usize>from * <usize>n) << 1), scales + (<usize>from << 2));
  }
}

/** Eight columns of U, row after row. */
function feedback_columns(root: usize, n: i32, unit: i32, inverses: usize, column: i32, out: usize): void {
  const stride = <usize>n << 2;
  const unitBytes = <usize>unit << 3;
  const end = column + 8;
  memory.fill(out + (<usize>end << 5), 0, <usize>(n - end) << 5);
  for (let i: i32 = 0; i < end; i++, out += 32) {
    const row = root + <usize>i * stride + (<usize>column << 2);
    for (let from: i32 = 0; from < 8; from += unit) {
      const values = row + (<usize>from << 2);
      const inverse = inverses + <usize>(column + from) * unitBytes;
      for (let j: i32 = 0; j < unit; j++) {
        let sum: f64 = 0;
        if (i < column + from) {
          let factor = inverse + (<usize>j << 3);
          for (let k: usize = 0; k <= <usize>j; k++, factor += unitBytes) {
            sum += <f64>load<f32>(values + (k << 2)) * load<f64>(factor);
          }
        }
        store<f32>(out + (<usize>(from + j) << 2), <f32>sum);
      }
    }
  }
}

/** Divides the rows of eight columns by `deviations`, and rounds them into a tile. */
function round_columns(columns: usize, n: i32, deviations: usize, tile: usize, scales: usize): void {
  let low = f32x4.splat(0);
  let high = low;
  const end = columns + (<usize>n << 5);
  for (let at = columns; at < end; at += 32, deviations += 4) {
    const deviation = v128.load32_splat(deviations);
    const a = f32x4.div(v128.load(at), deviation);
    const b = f32x4.div(v128.load(at, 16), deviation);
    v128.store(at, a);
    v128.store(at, b, 16);
    low = f32x4.pmax(low, f32x4.abs(a));
    high = f32x4.pmax(high, f32x4.abs(b));
  }
  v128.store(scales, low);
  v128.store(scales, high, 16);
  // A column of zeros stays one.
  const most = f32x4.splat(16384);
  low = f32x4.div(most, f32x4.pmax(low, f32x4.splat(f32.MIN_NORMAL_VALUE)));
  high = f32x4.div(most, f32x4.pmax(high, f32x4.splat(f32.MIN_NORMAL_VALUE)));
  for (let at = columns; at < end; at += 64, tile += 32) {
    v128.store(tile, rounded_pair(v128.load(at), v128.load(at, 32), low));
    v128.store(tile, rounded_pair(v128.load(at, 16), v128.load(at, 48), high), 16);
  }
}
