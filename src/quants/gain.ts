/**
 * Unbiased rows. Codes of least squared error shrink the weights by several percent at two or three bits, and a
 * shrink that all weights share does not average out over a network as random errors do: the model's divergence
 * doubles. So the scales of a row are multiplied by <W, W> / <W, Q> (weighted by importance), after which
 * <W, Q> = <W, W>: the projection of the encoded row on the row is the row itself.
 */
import { f16Max, f16ToF32, f32ToF16, writeU16 } from "./half.js";

/**
 * What to multiply the scales of a row by for unit gain.
 * @param square <W, W> of the row
 * @param product <W, Q> of the row
 */
export function gainCorrection(square: number, product: number): number {
  return product > 0 && square > 0 ? square / product : 1;
}

/**
 * Writes the F16 scales of a row's superblocks, scaled to unit gain.
 * @param scales scale of each superblock before
 * @param products <W, Q> of each superblock for scale 1
 * @param square <W, W> of the row
 * @param out the row; scale k goes to byte `k * stride + offset`
 */
export function writeUnbiasedScales(
  scales: Float64Array,
  products: Float64Array,
  square: number,
  out: Uint8Array,
  stride: number,
  offset: number,
): void {
  for (const [k, bits] of unbiasedScales(scales, products, square).entries()) {
    writeU16(out, k * stride + offset, bits);
  }
}

/** F16 bits of a row's superblock scales, scaled to unit gain; parameters as above. */
export function unbiasedScales(scales: Float64Array, products: Float64Array, square: number): Uint16Array {
  const halves = new Uint16Array(scales.length);
  let product = 0;
  for (let k = 0; k < scales.length; k++) {
    product += scales[k]! * products[k]!;
  }
  const gain = gainCorrection(square, product);
  let excess = 0;
  for (let k = 0; k < scales.length; k++) {
    const scale = gain * scales[k]!;
    const product = products[k]!;
    const [below, above] = neighbours(scale);
    const excessBelow = excess + (f16ToF32(below) - scale) * product;
    const excessAbove = excess + (f16ToF32(above) - scale) * product;
    const roundDown = Math.abs(excessBelow) <= Math.abs(excessAbove);
    excess = roundDown ? excessBelow : excessAbove;
    halves[k] = roundDown ? below : above;
  }
  return halves;
}

/**
 * F16 bits of the numbers on both sides of a scale. What the earlier scales of a row gained by rounding, the later
 * ones lose: rounding to nearest would do for most rows, but scales below 2^-14 have few bits.
 */
function neighbours(scale: number): [below: number, above: number] {
  const largest = f32ToF16(f16Max);
  if (scale >= f16Max) {
    return [largest, largest];
  }
  const nearest = f32ToF16(scale);
  const value = f16ToF32(nearest);
  return [value > scale ? nearest - 1 : nearest, value < scale ? nearest + 1 : nearest];
}
