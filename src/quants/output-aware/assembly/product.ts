// Products of many rows with a matrix: what error feedback and gradients are made of.
//
// Matrices lie in tiles of eight columns, float32 (tile, row, column): a tile is read from one end to the other.
// The rows are packed, four at a time, float32 (column, row), so that a step of the product reads 16 bytes of them.

/** Stores the four columns of four rows of four values, `step` bytes apart. */
// @ts-ignore: decorator
@inline
function store_columns(a: v128, b: v128, c: v128, d: v128, out: usize, step: usize): void {
  const ab = v128.shuffle<u32>(a, b, 0, 4, 1, 5);
  const cd = v128.shuffle<u32>(c, d, 0, 4, 1, 5);
  const abHigh = v128.shuffle<u32>(a, b, 2, 6, 3, 7);
  const cdHigh = v128.shuffle<u32>(c, d, 2, 6, 3, 7);
  v128.store(out, v128.shuffle<u64>(ab, cd, 0, 2));
  v128.store(out + step, v128.shuffle<u64>(ab, cd, 1, 3));
  v128.store(out + 2 * step, v128.shuffle<u64>(abHigh, cdHigh, 0, 2));
  v128.store(out + 3 * step, v128.shuffle<u64>(abHigh, cdHigh, 1, 3));
}

/**
 * Packs columns [0, count) of four rows.
 * @param rows first row; rows are `stride` bytes apart
 * @param count a multiple of 4
 * @param packed where the first column goes
 */
export function pack_rows(rows: usize, stride: usize, count: i32, packed: usize): void {
  const rows1 = rows + stride;
  const rows2 = rows1 + stride;
  const rows3 = rows2 + stride;
  const end = <usize>count << 2;
  for (let k: usize = 0; k < end; k += 16, packed += 64) {
    const a = v128.load(rows + k);
    const b = v128.load(rows1 + k);
    store_columns(a, b, v128.load(rows2 + k), v128.load(rows3 + k), packed, 16);
  }
}

/**
 * Adds four packed rows times a matrix to four rows of `out`.
 * @param packed `count` columns of the rows, a multiple of 2
 * @param tiles first tile of the wanted columns, from the row on that belongs to the first packed column; tiles are
 *   `tileStride` bytes apart
 * @param out first row, `columns` values, a multiple of 8; rows are `outStride` bytes apart
 */
export function add_product(
  packed: usize,
  count: i32,
  tiles: usize,
  tileStride: usize,
  columns: i32,
  out: usize,
  outStride: usize,
): void {
  const end = packed + (<usize>count << 4);
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
    for (let p = packed; p < end; p += 32, tile += 64) {
      let low = v128.load(tile);
      let high = v128.load(tile, 16);
      let factor = v128.load32_splat(p);
      s0 = f32x4.add(s0, f32x4.mul(factor, low));
      t0 = f32x4.add(t0, f32x4.mul(factor, high));
      factor = v128.load32_splat(p, 4);
      s1 = f32x4.add(s1, f32x4.mul(factor, low));
      t1 = f32x4.add(t1, f32x4.mul(factor, high));
      factor = v128.load32_splat(p, 8);
      s2 = f32x4.add(s2, f32x4.mul(factor, low));
      t2 = f32x4.add(t2, f32x4.mul(factor, high));
      factor = v128.load32_splat(p, 12);
      s3 = f32x4.add(s3, f32x4.mul(factor, low));
      t3 = f32x4.add(t3, f32x4.mul(factor, high));
      low = v128.load(tile, 32);
      high = v128.load(tile, 48);
      factor = v128.load32_splat(p, 16);
      s0 = f32x4.add(s0, f32x4.mul(factor, low));
      t0 = f32x4.add(t0, f32x4.mul(factor, high));
      factor = v128.load32_splat(p, 20);
      s1 = f32x4.add(s1, f32x4.mul(factor, low));
      t1 = f32x4.add(t1, f32x4.mul(factor, high));
      factor = v128.load32_splat(p, 24);
      s2 = f32x4.add(s2, f32x4.mul(factor, low));
      t2 = f32x4.add(t2, f32x4.mul(factor, high));
      factor = v128.load32_splat(p, 28);
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

/** Packs four columns, `count` rows of them, which are `stride` bytes apart: as if they were rows of the transpose. */
export function pack_columns(columns: usize, stride: usize, count: i32, packed: usize): void {
  const end = packed + (<usize>count << 4);
  for (; packed < end; packed += 16, columns += stride) v128.store(packed, v128.load(columns));
}

/** Puts 64 columns, `count` rows of them, which are `stride` bytes apart, into tiles of `count` rows. */
export function fill_tiles(rows: usize, stride: usize, count: i32, tiles: usize): void {
  const tileStride = <usize>count << 5;
  for (let k: i32 = 0; k < count; k++, rows += stride, tiles += 32) {
    let tile = tiles;
    for (let j: usize = 0; j < 256; j += 32, tile += tileStride) {
      v128.store(tile, v128.load(rows + j));
      v128.store(tile, v128.load(rows + j, 16), 16);
    }
  }
}

/** Puts columns [0, count) of 64 rows, as columns and with other signs, into tiles; `count` is a multiple of 4. */
export function fill_tiles_across(rows: usize, stride: usize, count: i32, tiles: usize): void {
  for (let four: usize = 0; four < 16; four++, rows += stride << 2) {
    let tile = tiles + (four >> 1) * (<usize>count << 5) + ((four & 1) << 4);
    const rows1 = rows + stride;
    const rows2 = rows1 + stride;
    const rows3 = rows2 + stride;
    const end = <usize>count << 2;
    for (let k: usize = 0; k < end; k += 16, tile += 128) {
      const a = f32x4.neg(v128.load(rows + k));
      const b = f32x4.neg(v128.load(rows1 + k));
      store_columns(a, b, f32x4.neg(v128.load(rows2 + k)), f32x4.neg(v128.load(rows3 + k)), tile, 32);
    }
  }
}

/** Moves 64 columns of `rows` rows, `stride` bytes apart, to rows of 64; zeros stay behind. */
export function take_columns(columns: usize, stride: usize, rows: i32, out: usize): void {
  for (let i: i32 = 0; i < rows; i++, columns += stride, out += 256) {
    memory.copy(out, columns, 256);
    memory.fill(columns, 0, 256);
  }
}
