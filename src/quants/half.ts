/**
 * Half-precision numbers: IEEE binary16 (F16) and bfloat16 (BF16), to and from float32, rounding to nearest
 * even. Both are exact in one direction and correctly rounded in the other.
 */

const scratch = new DataView(new ArrayBuffer(4));

function bitsOf(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

function fromBits(bits: number): number {
  scratch.setUint32(0, bits);
  return scratch.getFloat32(0);
}

/** Every F16 value by its bits: 256 KiB, because scales are looked up in the innermost loops. */
const f16Values = Float32Array.from({ length: 65536 }, (_, bits) => {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) {
    return fraction === 0 ? sign * Infinity : Number.NaN;
  }
  if (exponent === 0) {
    return sign * fraction * 2 ** -24;
  }
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
});

/** The largest finite F16 value. */
export const f16Max = 65504;

/** The value of 16 F16 bits, exactly. */
export function f16ToF32(bits: number): number {
  return f16Values[bits]!;
}

/** F16 bits of the number (rounded to float32 first): nearest, ties to even; overflow gives an infinity. */
export function f32ToF16(value: number): number {
  const bits = bitsOf(value);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    return sign | 0x7e00;
  }
  if (magnitude >= 0x47800000) {
    return sign | 0x7c00;
  }
  // Below 2^-14 results are multiples of 2^-24, the unit in the last place of floats from 0.5 to 1: the
  // float32 addition rounds.
  if (magnitude < 0x38800000) {
    return sign | (bitsOf(fromBits(magnitude) + 0.5) - 0x3f000000);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

/** The value of 16 BF16 bits, exactly. */
export function bf16ToF32(bits: number): number {
  return fromBits(bits * 65536);
}

/** BF16 bits of the number: nearest, ties to even; NaN becomes quiet, as in `ggml_compute_fp32_to_bf16`. */
export function f32ToBf16(value: number): number {
  const bits = bitsOf(value);
  if ((bits & 0x7fffffff) > 0x7f800000) {
    return (bits >>> 16) | 64;
  }
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** Reads a little-endian 16-bit number. */
export function readU16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

/** Writes a little-endian 16-bit number. */
export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}

/** Reads an F16 number. */
export function readF16(bytes: Uint8Array, at: number): number {
  return f16Values[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

/** F16 bits of a scale; beyond the format's range those of its largest number, never an infinity. */
export function scaleToF16(scale: number): number {
  return f32ToF16(Math.max(-f16Max, Math.min(f16Max, scale)));
}

/** A scale as F16 holds it. */
export function roundToF16(scale: number): number {
  return f16ToF32(scaleToF16(scale));
}
