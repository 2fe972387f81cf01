// Rows as the encoders of formats with scales take them. Reference: src/quants/importance.ts.

/** More than any of these formats can hold: 65504 times 128 times 32. */
const most: f32 = 268435456;

/** Copies a row of `columns` (a multiple of 4) weights, limited to what its squares can be summed of in float32. */
export function load_row(source: usize, columns: i32, x: usize): void {
  for (const end = x + (<usize>columns << 2); x < end; x += 16, source += 16) {
    const limited = f32x4.pmin(f32x4.splat(most), v128.load(source));
    v128.store(x, f32x4.pmax(f32x4.splat(-most), limited));
  }
}
