// What the encoders of formats with superblocks of 256 do for a whole row: importance before, scales after.
import { f16_to_f32, f32_to_f16 } from "../half";

/** Importance with mean 1, and never less than a millionth of the mean; 1 if there is none. */
export function mean_importance(importance: usize, columns: i32, out: usize): void {
  let sum: f64 = 0;
  const end = <usize>columns << 2;
  if (importance != 0) {
    for (let at: usize = 0; at < end; at += 4) sum += <f64>load<f32>(importance + at);
  }
  const factor = sum > 0 ? <f64>columns / sum : 0;
  for (let at: usize = 0; at < end; at += 4) {
    const value: f32 = factor > 0 ? <f32>max<f64>(<f64>load<f32>(importance + at) * factor, 1e-6) : 1;
    store<f32>(out + at, value);
  }
}

/**
 * The superblock scale that gives the largest block scale the largest sub-scale, `top`. Below 2^-18 an F16 has less
 * than seven bits: then it is better to leave the upper sub-scales unused. `factor` is what weights were multiplied by.
 * @param few the sub-scale that the largest block scale gets then
 */
export function representable_scale(largest: f32, factor: f32, top: f64, few: f64): f32 {
  const scale: f64 = <f64>largest / top;
  const unit = <f64>factor;
  if (scale >= unit / 262144.0) return <f32>scale;
  return <f32>max<f64>(min<f64>(unit / 262144.0, <f64>largest / few), unit / 16777216.0);
}

/**
 * Replaces the scales of a row (f64) by the F16 bits (u16, eight bytes apart too) that they get when all are multiplied
 * such that <W, Q> = <W, W>. The reference, with the reasons, is src/quants/gain.ts.
 */
export function unbiased_scales(scales: usize, products: usize, count: i32, square: f64): void {
  let product: f64 = 0;
  for (let k: i32 = 0; k < count; k++) {
    const at = <usize>k << 3;
    product += load<f64>(scales + at) * load<f64>(products + at);
  }
  const gain: f64 = product > 0 && square > 0 ? square / product : 1;
  let excess: f64 = 0;
  for (let k: i32 = 0; k < count; k++) {
    const at = <usize>k << 3;
    const scale = gain * load<f64>(scales + at);
    const weight = load<f64>(products + at);
    const nearest = f32_to_f16(<f32>min<f64>(scale, 65504));
    const value = <f64>f16_to_f32(nearest);
    const below = value > scale ? nearest - 1 : nearest;
    const above = value < scale && scale < 65504 ? nearest + 1 : nearest;
    const excessBelow = excess + (<f64>f16_to_f32(below) - scale) * weight;
    const excessAbove = excess + (<f64>f16_to_f32(above) - scale) * weight;
    const isBelow = abs(excessBelow) <= abs(excessAbove);
    store<u16>(scales + at, isBelow ? below : above);
    excess = isBelow ? excessBelow : excessAbove;
  }
}
