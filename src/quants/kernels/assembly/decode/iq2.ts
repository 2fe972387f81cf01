// IQ2_XXS, IQ2_XS, IQ2_S. Layouts and reference: src/quants/iq2.ts.
import { load_f16 } from "../half";
import { sign_bits } from "../lanes";
import { evenSignsTable, iq2SGrid, iq2XsGrid, iq2XxsGrid } from "../tables";

/** Eight weights: the levels at `point`, times scale, with a sign bit each. */
// @ts-ignore: decorator
@inline
function store_group(out: usize, point: usize, signs: u32, scale: v128): void {
  const levels = v128.load8x8_s(point);
  const low = f32x4.mul(scale, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(levels)));
  const high = f32x4.mul(scale, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(levels)));
  v128.store(out, v128.xor(low, sign_bits(signs)));
  v128.store(out, v128.xor(high, sign_bits(signs >> 4)), 16);
}

export function decode_iq2_xxs(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 66) {
    const d = load_f16(source);
    for (let block: usize = 0; block < 8; block++) {
      const points = source + 2 + 8 * block;
      const signsAndScale = load<u32>(points, 4);
      const scale = f32x4.splat(d * (<f32>0.5 + <f32>(signsAndScale >> 28)) * <f32>0.25);
      for (let group: usize = 0; group < 4; group++, out += 32) {
        const signs = load<u8>(evenSignsTable + ((signsAndScale >> (7 * <u32>group)) & 127));
        store_group(out, iq2XxsGrid + 8 * <usize>load<u8>(points + group), signs, scale);
      }
    }
  }
}

/** Scale of a group of IQ2_XS or IQ2_S: a nibble for each two groups. */
// @ts-ignore: decorator
@inline
function group_scale(d: f32, at: usize, group: usize): v128 {
  const nibble = ((<u32>load<u8>(at + (group >> 2))) >> (2 * (<u32>group & 2))) & 15;
  return f32x4.splat(d * (<f32>0.5 + <f32>nibble) * <f32>0.25);
}

export function decode_iq2_xs(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 74) {
    const d = load_f16(source);
    for (let group: usize = 0; group < 32; group++, out += 32) {
      const word = <usize>load<u16>(source + 2 + 2 * group);
      const signs = load<u8>(evenSignsTable + (word >> 9));
      store_group(out, iq2XsGrid + 8 * (word & 511), signs, group_scale(d, source + 66, group));
    }
  }
}

export function decode_iq2_s(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 82) {
    const d = load_f16(source);
    for (let group: usize = 0; group < 32; group++, out += 32) {
      const upper = ((<usize>load<u8>(source + 66 + (group >> 2))) >> (2 * (group & 3))) & 3;
      const point = <usize>load<u8>(source + 2 + group) | (upper << 8);
      const signs = load<u8>(source + 34 + group);
      store_group(out, iq2SGrid + 8 * point, signs, group_scale(d, source + 74, group));
    }
  }
}
