// IQ1_S and IQ1_M. Layouts and reference: src/quants/iq1.ts.
import { f16_to_f32, load_f16 } from "../half";
import { iq1Grid } from "../tables";

/** Eight weights: scale * (point of the grid + shift). */
// @ts-ignore: decorator
@inline
function store_group(out: usize, point: usize, shift: f32, scale: f32): void {
  const values = v128.load8x8_s(iq1Grid + 8 * point);
  const low = f32x4.add(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(values)), f32x4.splat(shift));
  const high = f32x4.add(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(values)), f32x4.splat(shift));
  v128.store(out, f32x4.mul(f32x4.splat(scale), low));
  v128.store(out, f32x4.mul(f32x4.splat(scale), high), 16);
}

export function decode_iq1_s(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 50) {
    const d = load_f16(source);
    for (let block: usize = 0; block < 8; block++) {
      const word = <u32>load<u16>(source + 34 + 2 * block);
      const odd = 2 * ((word >> 12) & 7) + 1;
      const scale = d * <f32>odd;
      const shift: f32 = word & 0x8000 ? -0.125 : 0.125;
      for (let group: usize = 0; group < 4; group++, out += 32) {
        const point = load<u8>(source + 2 + 4 * block + group) | (((word >> (3 * <u32>group)) & 7) << 8);
        store_group(out, point, shift, scale);
      }
    }
  }
}

export function decode_iq1_m(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 56) {
    // A quarter of d in the upper four bits of each of the four words of scales.
    const words = load<u64>(source + 48);
    const bits = ((words >> 12) & 15) | ((words >> 24) & 0xf0) | ((words >> 36) & 0xf00) | ((words >> 48) & 0xf000);
    const d = f16_to_f32(<u32>bits);
    for (let group: usize = 0; group < 32; group++, out += 32) {
      const nibble = ((<u32>load<u8>(source + 32 + (group >> 1))) >> (4 * (<u32>group & 1))) & 15;
      const point = load<u8>(source + group) | ((nibble & 7) << 8);
      const shift: f32 = nibble & 8 ? -0.125 : 0.125;
      const s = ((<u32>load<u16>(source + 48 + 2 * (group >> 3))) >> (3 * ((<u32>group >> 1) & 3))) & 7;
      const odd = 2 * s + 1;
      store_group(out, point, shift, d * <f32>odd);
    }
  }
}
