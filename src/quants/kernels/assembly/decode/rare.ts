// TQ1_0, TQ2_0, MXFP4 and NVFP4. Layouts and reference: src/quants/ternary.ts, mxfp4.ts, nvfp4.ts.
import { load_f16 } from "../half";
import { store_scaled } from "../lanes";

/** `digits` ternary digits of each of `count` bytes, digit by digit. Returns the end of what it wrote. */
function store_digits(out: usize, bytes: usize, count: usize, digits: i32, d: f32): usize {
  let power: u32 = 1;
  for (let digit = 0; digit < digits; digit++, power *= 3) {
    for (let j: usize = 0; j < count; j++, out += 4) {
      const fraction = (<u32>load<u8>(bytes + j) * power) & 255;
      store<f32>(out, d * <f32>(<i32>((3 * fraction) >> 8) - 1));
    }
  }
  return out;
}

export function decode_tq1_0(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 54) {
    const d = load_f16(source + 52);
    out = store_digits(out, source, 32, 5, d);
    out = store_digits(out, source + 32, 16, 5, d);
    out = store_digits(out, source + 48, 4, 4, d);
  }
}

export function decode_tq2_0(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 66) {
    const d = f32x4.splat(load_f16(source + 64));
    for (let i: usize = 0; i < 256; i += 16, out += 64) {
      const bytes = v128.load(source + 32 * (i >> 7) + (i & 31));
      const codes = v128.and(i8x16.shr_u(bytes, 2 * ((<i32>i >> 5) & 3)), i8x16.splat(3));
      store_scaled(out, i8x16.sub(codes, i8x16.splat(1)), d);
    }
  }
}

/** Twice the value of an E2M1 code. Code 8 is minus zero, decoded as plus zero. */
function twice_e2m1(code: u32): f32 {
  const magnitude = code & 7;
  const value: i32 = magnitude < 5 ? magnitude : magnitude == 5 ? 6 : magnitude == 6 ? 8 : 12;
  return <f32>(code & 8 ? -value : value);
}

export function decode_mxfp4(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; out += 128, source += 17) {
    // 2^(e - 128), subnormal for e below 2.
    const e = <u32>load<u8>(source);
    const scale = reinterpret<f32>(e < 2 ? 0x00200000 << e : (e - 1) << 23);
    for (let j: usize = 0; j < 16; j++) {
      const pair = <u32>load<u8>(source + 1 + j);
      store<f32>(out + (j << 2), scale * twice_e2m1(pair & 15));
      store<f32>(out + (j << 2), scale * twice_e2m1(pair >> 4), 64);
    }
  }
}

/** Half the value of a UE4M3 scale: byte 127 is zero. */
function half_ue4m3(byte: u32): f32 {
  const exponent = (byte >> 3) & 15;
  const mantissa = byte & 7;
  if (byte == 127) return 0;
  // 2^-10 is the least; a normal number's exponent is 11 less.
  if (exponent == 0) return <f32>mantissa * reinterpret<f32>(117 << 23);
  const digits = 8 + mantissa;
  return <f32>digits * reinterpret<f32>((exponent + 116) << 23);
}

export function decode_nvfp4(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 36) {
    for (let i: usize = 0; i < 4; i++, out += 64) {
      const scale = half_ue4m3(load<u8>(source + i));
      for (let j: usize = 0; j < 8; j++) {
        const pair = <u32>load<u8>(source + 4 + 8 * i + j);
        store<f32>(out + (j << 2), scale * twice_e2m1(pair & 15));
        store<f32>(out + (j << 2), scale * twice_e2m1(pair >> 4), 32);
      }
    }
  }
}
