// F16 scales of blocks and superblocks. Reference: src/quants/half.ts, scale-search.ts, gain.ts.
import { f16_to_f32, f32_to_f16 } from "../half";

const largest: f64 = 65504;

/** F16 bits of a scale; beyond the format's range those of its largest number. */
export function scale_to_f16(scale: f64): u32 {
  return f32_to_f16(<f32>max(-largest, min(largest, scale)));
}

/** A scale as F16 holds it. */
export function round_to_f16(scale: f64): f32 {
  return f16_to_f32(scale_to_f16(scale));
}

/** A superblock's scale as F16 can hold it: below 2^-22 a larger one, with smaller integer scales. */
export function superblock_scale(found: f32, top: f64): f32 {
  const magnitude = <f64>abs(found);
  if (magnitude * top < 1.0 / 33554432) return 0;
  const larger = max(magnitude, max(min(1.0 / 4194304, (magnitude * top) / 7), 1.0 / 16777216));
  return round_to_f16(found < 0 ? -larger : larger);
}

/** One over a number; 0 for 0. */
// @ts-ignore: decorator
@inline
export function invert(value: f32): f32 {
  return value == 0 ? 0 : <f32>1 / value;
}

/** What to multiply the scales of a row by for unit gain. */
export function gain_correction(square: f64, product: f64): f64 {
  return product > 0 && square > 0 ? square / product : 1;
}
