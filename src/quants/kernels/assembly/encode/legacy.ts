// Q4_1 and Q5_1: blocks of 32 weights with an F16 scale and offset. Reference: src/quants/legacy-encode.ts.
// Layouts: src/quants/legacy.ts.
import { fiveBitRanges, fourBitRanges } from "../tables";
import { code_range, sum_l, sum_l2, sum_xl, weighted_square } from "./blocks";
import { normalize_importance } from "./importance";
import { pack_fifth_bits, pack_nibbles } from "./pack";
import { range_importance, range_mean, range_offset, range_scale, search_range } from "./range-search";
import { load_row } from "./row";
import { search_steps } from "./scale-search";
import { gain_correction, invert, round_to_f16, scale_to_f16 } from "./scales";

/** Codes of a block. */
const codes: usize = memory.data(32, 16);

/** `fifth`: whether codes have five bits. */
// @ts-ignore: decorator
@inline
function encode(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
  fifth: bool,
): void {
  const x = scratch;
  const w = x + (<usize>columns << 2);
  const units = w + (<usize>columns << 2);
  const blocks = columns >> 5;
  const top: f32 = fifth ? 31 : 15;
  const bytes: usize = fifth ? 24 : 20;
  const candidates = fifth ? fiveBitRanges : fourBitRanges;
  normalize_importance(importance, columns, w);
  for (let row = 0; row < rows; row++, source += <usize>columns << 2) {
    load_row(source, columns, x);
    let square: f64 = 0;
    let product: f64 = 0;
    for (let block: usize = 0; block < <usize>blocks; block++) {
      const at = block << 7;
      search_range(x + at, w + at, 32, top, candidates, search_steps(effort), true);
      code_range(x + at, w + at, 32, -round_to_f16(range_offset), invert(round_to_f16(range_scale)), top, codes);
      // Least squares of x - scale codes - offset.
      const total: f64 = range_importance;
      const mean: f64 = range_mean;
      const meanL = <f64>sum_l / total;
      const c = <f64>sum_xl - meanL * mean * total;
      const v = <f64>sum_l2 - meanL * meanL * total;
      const scale: f64 = v > total / 65536 && c > 0 ? c / v : <f64>range_scale;
      const offset: f64 = mean - scale * meanL;
      store<f64>(units + (block << 4), scale);
      store<f64>(units + (block << 4), offset, 8);
      product += scale * sum_xl + offset * mean * total;
      square += weighted_square(x + at, w + at, 32);
      const to = out + block * bytes;
      if (fifth) pack_fifth_bits(codes, to + 4);
      pack_nibbles(codes, fifth ? to + 8 : to + 4);
    }
    const correction = gain_correction(square, product);
    for (let block = 0; block < blocks; block++, out += bytes) {
      const unit = units + (<usize>block << 4);
      store<u16>(out, scale_to_f16(correction * load<f64>(unit)));
      store<u16>(out, scale_to_f16(correction * load<f64>(unit, 8)), 2);
    }
  }
}

export function encode_q4_1(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  encode(source, importance, out, rows, columns, effort, scratch, false);
}

export function encode_q5_1(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  encode(source, importance, out, rows, columns, effort, scratch, true);
}
