// Products of rows with a matrix that need not be exact, in 16-bit integers: 2.5 times the speed of float32, and half
// the memory. The matrix lies in tiles of eight columns, int16 (tile, pair of rows, column, row of the pair).

/**
 * Rounds and packs four rows: int16 (pair of columns, row, column of the pair).
 * @param rows first row; rows are `stride` bytes apart
 * @param count columns, a multiple of 4
 * @param scales f32[4]: what each row is multiplied by; no product may exceed 32767
 */
export function pack_rounded(rows: usize, stride: usize, count: i32, scales: usize, packed: usize): void {
  const rows1 = rows + stride;
  const rows2 = rows1 + stride;
  const rows3 = rows2 + stride;
  const end = <usize>count << 2;
  for (let k: usize = 0; k < end; k += 16, packed += 32) {
    const ab = i16x8.narrow_i32x4_s(rounded(rows + k, scales), rounded(rows1 + k, scales + 4));
    const cd = i16x8.narrow_i32x4_s(rounded(rows2 + k, scales + 8), rounded(rows3 + k, scales + 12));
    v128.store(packed, v128.shuffle<u32>(ab, cd, 0, 2, 4, 6));
    v128.store(packed, v128.shuffle<u32>(ab, cd, 1, 3, 5, 7), 16);
  }
}

// @ts-ignore: decorator
@inline
function rounded(values: usize, scale: usize): v128 {
  return whole(v128.load(values), v128.load32_splat(scale));
}

/** Packs columns [0, 4) of a tile, as if they were rows of its transpose; in 16 bytes for each pair. */
export function pack_tile(tile: usize, pairs: i32, packed: usize): void {
  const end = packed + (<usize>pairs << 4);
  for (; packed < end; packed += 16, tile += 32) v128.store(packed, v128.load(tile));
}

/** i32[4][8]: sums of products of four packed rows with the columns of a tile. */
const SUMS: usize = memory.data(128, 16);

/**
 * Adds four packed rows times a matrix, and each times a factor of its own, to four rows of `out`. The sums of
 * products must stay below 2^31.
 * @param pairs pairs of columns of the rows
 * @param tiles first tile of the wanted columns, from the row on that belongs to the first packed column; tiles are
 *   `tileStride` bytes apart
 * @param factors f32[4]
 * @param out first row, `columns` values, a multiple of 8; rows are `outStride` bytes apart
 */
export function add_rounded_product(
  packed: usize,
  pairs: i32,
  tiles: usize,
  tileStride: usize,
  columns: i32,
  factors: usize,
  out: usize,
  outStride: usize,
): void {
  const end = packed + (<usize>pairs << 4);
  for (let column: i32 = 0; column < columns; column += 8, out += 32, tiles += tileStride) {
    sum_products(packed, end, tiles);
    let to = out;
    for (let row: usize = 0; row < 4; row++, to += outStride) {
      const factor = v128.load32_splat(factors + (row << 2));
      v128.store(to, f32x4.add(v128.load(to), f32x4.mul(factor, sums_of(row, 0))));
      v128.store(to, f32x4.add(v128.load(to, 16), f32x4.mul(factor, sums_of(row, 16))), 16);
    }
  }
}

/**
 * The same with a factor for each column of the matrix besides.
 * @param columnFactors f32[columns]
 */
export function add_scaled_product(
  packed: usize,
  pairs: i32,
  tiles: usize,
  tileStride: usize,
  columns: i32,
  factors: usize,
  columnFactors: usize,
  out: usize,
  outStride: usize,
): void {
  const end = packed + (<usize>pairs << 4);
  for (let column: i32 = 0; column < columns; column += 8, out += 32, tiles += tileStride, columnFactors += 32) {
    sum_products(packed, end, tiles);
    const low = v128.load(columnFactors);
    const high = v128.load(columnFactors, 16);
    let to = out;
    for (let row: usize = 0; row < 4; row++, to += outStride) {
      const factor = v128.load32_splat(factors + (row << 2));
      const a = f32x4.mul(f32x4.mul(factor, sums_of(row, 0)), low);
      const b = f32x4.mul(f32x4.mul(factor, sums_of(row, 16)), high);
      v128.store(to, f32x4.add(v128.load(to), a));
      v128.store(to, f32x4.add(v128.load(to, 16), b), 16);
    }
  }
}

// @ts-ignore: decorator
@inline
function sums_of(row: usize, half: usize): v128 {
  return f32x4.convert_i32x4_s(v128.load(SUMS + (row << 5) + half));
}

/** Fills SUMS. */
// @ts-ignore: decorator
@inline
function sum_products(packed: usize, end: usize, tile: usize): void {
  let s0 = i32x4.splat(0);
  let t0 = s0;
  let s1 = s0;
  let t1 = s0;
  let s2 = s0;
  let t2 = s0;
  let s3 = s0;
  let t3 = s0;
  for (let p = packed; p < end; p += 16, tile += 32) {
    const low = v128.load(tile);
    const high = v128.load(tile, 16);
    let pair = v128.load32_splat(p);
    s0 = i32x4.add(s0, i32x4.dot_i16x8_s(pair, low));
    t0 = i32x4.add(t0, i32x4.dot_i16x8_s(pair, high));
    pair = v128.load32_splat(p, 4);
    s1 = i32x4.add(s1, i32x4.dot_i16x8_s(pair, low));
    t1 = i32x4.add(t1, i32x4.dot_i16x8_s(pair, high));
    pair = v128.load32_splat(p, 8);
    s2 = i32x4.add(s2, i32x4.dot_i16x8_s(pair, low));
    t2 = i32x4.add(t2, i32x4.dot_i16x8_s(pair, high));
    pair = v128.load32_splat(p, 12);
    s3 = i32x4.add(s3, i32x4.dot_i16x8_s(pair, low));
    t3 = i32x4.add(t3, i32x4.dot_i16x8_s(pair, high));
  }
  v128.store(SUMS, s0);
  v128.store(SUMS, t0, 16);
  v128.store(SUMS, s1, 32);
  v128.store(SUMS, t1, 48);
  v128.store(SUMS, s2, 64);
  v128.store(SUMS, t2, 80);
  v128.store(SUMS, s3, 96);
  v128.store(SUMS, t3, 112);
}

/** Length of a column of a batch in whole numbers: no product of two columns may exceed 2^31. */
const COLUMN_LENGTH: f32 = 46000;

/**
 * Rounds a batch of vectors, each column times a factor of its own, and puts them into tiles.
 * @param vectors f32: `rows` rows of `columns` values; rows are a multiple of 2, columns of 8
 * @param tiles int16: tiles of `rows` rows
 * @param inverses f32[columns]: gets what whole numbers are to be multiplied by; 0 for columns of zeros
 */
export function round_batch(vectors: usize, rows: i32, columns: i32, tiles: usize, inverses: usize): void {
  const stride = <usize>columns << 2;
  for (let column: i32 = 0; column < columns; column += 4, vectors += 16, inverses += 16) {
    const inverse = inverse_of_columns(vectors, rows, stride);
    v128.store(inverses, inverse);
    const one = f32x4.splat(1);
    const factors = v128.and(f32x4.div(one, inverse), f32x4.gt(inverse, f32x4.splat(0)));
    let tile = tiles + ((<usize>(column & ~7) * <usize>rows) << 1) + (<usize>(column & 4) << 2);
    let at = vectors;
    for (let row: i32 = 0; row < rows; row += 2, at += stride << 1, tile += 32) {
      v128.store(tile, rounded_pair(v128.load(at), v128.load(at + stride), factors));
    }
  }
}

/** What makes the largest value of each of four columns 32767, or its length COLUMN_LENGTH, whichever comes first. */
// @ts-ignore: decorator
@inline
function inverse_of_columns(values: usize, rows: i32, stride: usize): v128 {
  let largest = f32x4.splat(0);
  let square = largest;
  for (let row: i32 = 0; row < rows; row++, values += stride) {
    const x = v128.load(values);
    largest = f32x4.pmax(largest, f32x4.abs(x));
    square = f32x4.add(square, f32x4.mul(x, x));
  }
  const byLargest = f32x4.div(largest, f32x4.splat(32767));
  return f32x4.pmax(byLargest, f32x4.div(f32x4.sqrt(square), f32x4.splat(COLUMN_LENGTH)));
}

/** Two rows of four values times factors, in int16 (column, row). */
// @ts-ignore: decorator
@inline
export function rounded_pair(a: v128, b: v128, factors: v128): v128 {
  const both = i16x8.narrow_i32x4_s(whole(a, factors), whole(b, factors));
  return v128.shuffle<u16>(both, both, 0, 4, 1, 5, 2, 6, 3, 7);
}

/** Four values times factors, rounded. */
// @ts-ignore: decorator
@inline
function whole(values: v128, factors: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(values, factors)));
}
