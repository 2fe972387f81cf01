// Q4_0, Q5_0 and IQ4_NL: blocks of 32 weights with an F16 scale of their own. Reference: src/quants/legacy-encode.ts.
// Layouts: src/quants/legacy.ts, iq4.ts.
import { iq4Candidates, q4_0Candidates, q5_0Candidates } from "../tables";
import { code_levels, code_scaled, sum_l2, sum_xl, weighted_square } from "./blocks";
import { normalize_importance } from "./importance";
import { pack_fifth_bits, pack_nibbles } from "./pack";
import { load_row } from "./row";
import { found_scale, search_level_scale, search_scale, search_steps } from "./scale-search";
import { gain_correction, invert, round_to_f16, scale_to_f16 } from "./scales";

/** Codes of a block. */
const codes: usize = memory.data(32, 16);

/** `fifth`: whether codes have five bits; `levels`: whether they stand for the levels of IQ4_NL. */
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
  candidates: usize,
  fifth: bool,
  levels: bool,
): void {
  const x = scratch;
  const w = x + (<usize>columns << 2);
  const scales = w + (<usize>columns << 2);
  const blocks = columns >> 5;
  const low: f32 = fifth ? -16 : -8;
  const high: f32 = fifth ? 15 : 7;
  const codesAt: usize = fifth ? 6 : 2;
  const bytes: usize = fifth ? 22 : 18;
  normalize_importance(importance, columns, w);
  for (let row = 0; row < rows; row++, source += <usize>columns << 2) {
    load_row(source, columns, x);
    let square: f64 = 0;
    let product: f64 = 0;
    for (let block = 0; block < blocks; block++) {
      const at = x + (<usize>block << 7);
      const wat = w + (<usize>block << 7);
      const to = out + <usize>block * bytes;
      if (levels) {
        search_level_scale(at, wat, 32, candidates, search_steps(effort));
        code_levels(at, wat, 32, invert(round_to_f16(found_scale)), codes);
      } else {
        search_scale(at, wat, 32, low, high, candidates, search_steps(effort));
        code_scaled(at, wat, 32, invert(round_to_f16(found_scale)), low, high, codes);
      }
      const scale: f64 = sum_l2 > 0 ? <f64>sum_xl / <f64>sum_l2 : 0;
      store<f64>(scales + (<usize>block << 3), scale);
      product += scale * sum_xl;
      square += weighted_square(at, wat, 32);
      if (fifth) pack_fifth_bits(codes, to + 2);
      pack_nibbles(codes, to + codesAt);
    }
    const correction = gain_correction(square, product);
    for (let block = 0; block < blocks; block++, out += bytes) {
      store<u16>(out, scale_to_f16(correction * load<f64>(scales + (<usize>block << 3))));
    }
  }
}

export function encode_q4_0(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  encode(source, importance, out, rows, columns, effort, scratch, q4_0Candidates, false, false);
}

export function encode_q5_0(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  encode(source, importance, out, rows, columns, effort, scratch, q5_0Candidates, true, false);
}

export function encode_iq4_nl(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  encode(source, importance, out, rows, columns, effort, scratch, iq4Candidates, false, true);
}
