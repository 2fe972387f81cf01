// Products of many rows with a matrix: what error feedback and gradients are made of.
//
// Matrices lie in tiles of eight columns, float32 (tile, row, column): a tile is read from one end to the other.

/**
 * Adds four rows of A, from column 0 to `count` (exclusive), times as many rows of a matrix, to four rows of `out`.
 * @param a first row of A; rows are `aStride` bytes apart
 * @param tiles first tile of the wanted columns; tiles are `tileStride` bytes apart
 * @param out first row, `columns` values, a multiple of 8; rows are `outStride` bytes apart
 */
export function add_product(
  a: usize,
  aStride: usize,
  count: i32,
  tiles: usize,
  tileStride: usize,
  columns: i32,
  out: usize,
  outStride: usize,
): void {
  const a1 = a + aStride;
  const a2 = a1 + aStride;
  const a3 = a2 + aStride;
  const end = <usize>count << 2;
  for (let column: i32 = 0; column < columns; column += 8) {
    const out1 = out + outStride;
    const out2 = out1 + outStride;
    const out3 = out2 + outStride;
    let s0 = v128.load(out);
    let t0 = v128.load(out, 16);
    let s1 = v128.load(out1);
    let t1 = v128.load(out1, 16);
    let s2 = v128.load(out2);
    let t2 = v128.load(out2, 16);
    let s3 = v128.load(out3);
    let t3 = v128.load(out3, 16);
    let tile = tiles;
    for (let k: usize = 0; k < end; k += 4, tile += 32) {
      const low = v128.load(tile);
      const high = v128.load(tile, 16);
      let factor = v128.load32_splat(a + k);
      s0 = f32x4.add(s0, f32x4.mul(factor, low));
      t0 = f32x4.add(t0, f32x4.mul(factor, high));
      factor = v128.load32_splat(a1 + k);
      s1 = f32x4.add(s1, f32x4.mul(factor, low));
      t1 = f32x4.add(t1, f32x4.mul(factor, high));
      factor = v128.load32_splat(a2 + k);
      s2 = f32x4.add(s2, f32x4.mul(factor, low));
      t2 = f32x4.add(t2, f32x4.mul(factor, high));
      factor = v128.load32_splat(a3 + k);
      s3 = f32x4.add(s3, f32x4.mul(factor, low));
      t3 = f32x4.add(t3, f32x4.mul(factor, high));
    }
    v128.store(out, s0);
    v128.store(out, t0, 16);
    v128.store(out1, s1);
    v128.store(out1, t1, 16);
    v128.store(out2, s2);
    v128.store(out2, t2, 16);
    v128.store(out3, s3);
    v128.store(out3, t3, 16);
    tiles += tileStride;
    out += 32;
  }
}
