// TQ1_0 and TQ2_0: weights in {-d, 0, d}. Reference, to the last bit: src/quants/ternary-encode.ts; layouts:
// src/quants/ternary.ts.
import { unbiased_scales } from "./grid-row";
import { normalize_importance } from "./importance";
import { load_row } from "./row";

/** u64[256], twice: sizes of the weights (their bits, inverted) with their places, while they are sorted. */
const KEYS: usize = memory.data(2048, 16);
const OTHER: usize = memory.data(2048, 16);
/** u8[256]: codes 0, 1, 2 for -d, 0, d. */
const CODES: usize = memory.data(256, 16);

/** Sorts KEYS in rising order; returns where they are. */
function sort_keys(): usize {
  let from = KEYS;
  let to = OTHER;
  for (let run: usize = 8; run < 2048; run <<= 1) {
    for (let start: usize = 0; start < 2048; start += run << 1) {
      const middle = start + run;
      const end = middle + run;
      let a = start;
      let b = middle;
      for (let at = start; at < end; at += 8) {
        const takeA = b == end || (a < middle && load<u64>(from + a) <= load<u64>(from + b));
        store<u64>(to + at, load<u64>(from + (takeA ? a : b)));
        if (takeA) a += 8;
        else b += 8;
      }
    }
    const sorted = to;
    to = from;
    from = sorted;
  }
  return from;
}

/** The scale of least error for a superblock, and (`least_size`) the least size of a weight that is not made zero. */
let least_size: f32 = 0;
function best_scale(x: usize, w: usize): f64 {
  for (let i: usize = 0; i < 256; i++) {
    const size = reinterpret<u32>(load<f32>(x + (i << 2))) & 0x7fffffff;
    store<u64>(KEYS + (i << 3), (<u64>(0x7fffffff - size) << 32) | <u64>i);
  }
  const keys = sort_keys();
  let scale: f64 = 0;
  let mostSaved: f64 = 0;
  let sum: f64 = 0;
  let total: f64 = 0;
  least_size = Infinity;
  for (let at = keys; at < keys + 2048; at += 8) {
    const i = <usize>(load<u64>(at) & 255);
    const size = abs(load<f32>(x + (i << 2)));
    const importance = <f64>load<f32>(w + (i << 2));
    sum += importance * <f64>size;
    total += importance;
    const saved = total > 0 ? (sum * sum) / total : 0;
    if (saved > mostSaved) {
      mostSaved = saved;
      scale = sum / total;
      least_size = size;
    }
  }
  return scale;
}

/** TQ2_0: two bits each; byte l of each half, bits 2 k, is code 128 half + 32 k + l. */
function pack_two_bits(out: usize): void {
  for (let half: usize = 0; half < 2; half++) {
    for (let l: usize = 0; l < 32; l++) {
      const at = CODES + (half << 7) + l;
      const byte = load<u8>(at) | (load<u8>(at, 32) << 2) | (load<u8>(at, 64) << 4) | (load<u8>(at, 96) << 6);
      store<u8>(out + (half << 5) + l, byte);
    }
  }
}

/** TQ1_0: `digits` ternary digits of each of `count` bytes, as a fraction of 3^5, rounded up. */
function pack_digits(codes: usize, count: usize, digits: usize, out: usize): void {
  for (let j: usize = 0; j < count; j++) {
    let number: u32 = 0;
    for (let digit: usize = 0; digit < 5; digit++) {
      number = 3 * number + (digit < digits ? <u32>load<u8>(codes + digit * count + j) : 0);
    }
    store<u8>(out + j, (256 * number + 242) / 243);
  }
}

function encode(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  scratch: usize,
  bytes: usize,
  isPacked: bool,
): void {
  const x = scratch;
  const w = x + (<usize>columns << 2);
  const scales = w + (<usize>columns << 2);
  const superblocks = columns >> 8;
  const products = scales + (<usize>superblocks << 3);
  normalize_importance(importance, columns, w);
  for (let row = 0; row < rows; row++, source += <usize>columns << 2) {
    load_row(source, columns, x);
    let square: f64 = 0;
    for (let k: i32 = 0; k < superblocks; k++) {
      const own = x + (<usize>k << 10);
      const weights = w + (<usize>k << 10);
      const to = out + <usize>k * bytes;
      store<f64>(scales + (<usize>k << 3), best_scale(own, weights));
      let product: f64 = 0;
      for (let i: usize = 0; i < 256; i++) {
        const weight = load<f32>(own + (i << 2));
        const matters = <f64>load<f32>(weights + (i << 2));
        const isKept = weight != 0 && abs(weight) >= least_size;
        store<u8>(CODES + i, isKept ? (weight < 0 ? 0 : 2) : 1);
        product += isKept ? matters * <f64>abs(weight) : 0;
        square += matters * <f64>weight * <f64>weight;
      }
      store<f64>(products + (<usize>k << 3), product);
      if (isPacked) {
        pack_digits(CODES, 32, 5, to);
        pack_digits(CODES + 160, 16, 5, to + 32);
        pack_digits(CODES + 240, 4, 4, to + 48);
      } else {
        pack_two_bits(to);
      }
    }
    unbiased_scales(scales, products, superblocks, square);
    for (let k: i32 = 0; k < superblocks; k++, out += bytes) {
      store<u16>(out + bytes - 2, load<u16>(scales + (<usize>k << 3)));
    }
  }
}

export function encode_tq1_0(source: usize, importance: usize, out: usize, rows: i32, columns: i32, _effort: i32, scratch: usize): void {
  encode(source, importance, out, rows, columns, scratch, 54, true);
}

export function encode_tq2_0(source: usize, importance: usize, out: usize, rows: i32, columns: i32, _effort: i32, scratch: usize): void {
  encode(source, importance, out, rows, columns, scratch, 66, false);
}
