// IQ2_XXS, IQ2_XS, IQ2_S. Layouts and reference: src/quants/iq2.ts.
import { load_f16 } from "../half";
import { store_scaled, with_signs } from "../lanes";
import { evenSignsTable, iq2SGrid, iq2XsGrid, iq2XxsGrid } from "../tables";

/** Sixteen weights: the levels at two points, times scale, with a sign bit each. */
// @ts-ignore: decorator
@inline
function store_groups(out: usize, first: usize, second: usize, signs: u32, scale: f32): void {
  const levels = v128.load64_lane(second, v128.load64_zero(first), 1);
  store_scaled(out, with_signs(levels, signs), f32x4.splat(scale));
}

export function decode_iq2_xxs(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 66) {
    const d = load_f16(source);
    for (let block: usize = 0; block < 8; block++) {
      const points = source + 2 + 8 * block;
      const signsAndScale = load<u32>(points, 4);
      const scale = d * (<f32>0.5 + <f32>(signsAndScale >> 28)) * <f32>0.25;
      for (let group: usize = 0; group < 4; group += 2, out += 64) {
        const first = <u32>load<u8>(evenSignsTable + ((signsAndScale >> (7 * <u32>group)) & 127));
        const second = <u32>load<u8>(evenSignsTable + ((signsAndScale >> (7 * <u32>group + 7)) & 127));
        const point = iq2XxsGrid + 8 * <usize>load<u8>(points + group);
        const next = iq2XxsGrid + 8 * <usize>load<u8>(points + group, 1);
        store_groups(out, point, next, first | (second << 8), scale);
      }
    }
  }
}

/** Scale of a pair of groups of IQ2_XS or IQ2_S: a nibble. */
// @ts-ignore: decorator
@inline
function pair_scale(d: f32, at: usize, pair: usize): f32 {
  const nibble = ((<u32>load<u8>(at + (pair >> 1))) >> (4 * (<u32>pair & 1))) & 15;
  return d * (<f32>0.5 + <f32>nibble) * <f32>0.25;
}

export function decode_iq2_xs(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 74) {
    const d = load_f16(source);
    for (let pair: usize = 0; pair < 16; pair++, out += 64) {
      const words = load<u32>(source + 4 * pair, 2);
      const first = <u32>load<u8>(evenSignsTable + ((words >> 9) & 127));
      const second = <u32>load<u8>(evenSignsTable + (words >> 25));
      const point = iq2XsGrid + 8 * (words & 511);
      const next = iq2XsGrid + 8 * ((words >> 16) & 511);
      store_groups(out, point, next, first | (second << 8), pair_scale(d, source + 66, pair));
    }
  }
}

export function decode_iq2_s(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 82) {
    const d = load_f16(source);
    for (let pair: usize = 0; pair < 16; pair++, out += 64) {
      const points = <usize>load<u16>(source + 2 * pair, 2);
      const upper = (<usize>load<u8>(source + (pair >> 1), 66)) >> (4 * (pair & 1));
      const point = iq2SGrid + 8 * ((points & 255) | ((upper & 3) << 8));
      const next = iq2SGrid + 8 * ((points >> 8) | ((upper & 12) << 6));
      const signs = load<u16>(source + 2 * pair, 34);
      store_groups(out, point, next, signs, pair_scale(d, source + 74, pair));
    }
  }
}
