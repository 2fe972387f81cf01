// IQ3_XXS and IQ3_S. Layouts and reference: src/quants/iq3.ts.
import { load_f16 } from "../half";
import { store_scaled, with_signs } from "../lanes";
import { evenSignsTable, iq3SGrid, iq3XxsGrid } from "../tables";

/** Sixteen weights: the levels at four points, times scale, with a sign bit each. */
// @ts-ignore: decorator
@inline
function store_points(out: usize, a: usize, b: usize, c: usize, d: usize, signs: u32, scale: v128): void {
  let levels = v128.load32_lane(b, v128.load32_zero(a), 1);
  levels = v128.load32_lane(c, levels, 2);
  levels = v128.load32_lane(d, levels, 3);
  store_scaled(out, with_signs(levels, signs), scale);
}

/** Address of a point of IQ3_XXS. */
// @ts-ignore: decorator
@inline
function xxs_point(at: usize): usize {
  return iq3XxsGrid + 4 * <usize>load<u8>(at);
}

export function decode_iq3_xxs(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 98) {
    const d = load_f16(source);
    for (let block: usize = 0; block < 8; block++) {
      const signsAndScale = load<u32>(source + 66 + 4 * block);
      const scale = f32x4.splat(d * (<f32>0.5 + <f32>(signsAndScale >> 28)) * <f32>0.5);
      for (let half: usize = 0; half < 2; half++, out += 64) {
        const bits = signsAndScale >> (14 * <u32>half);
        const first = <u32>load<u8>(evenSignsTable + (bits & 127));
        const second = <u32>load<u8>(evenSignsTable + ((bits >> 7) & 127));
        const at = source + 2 + 8 * block + 4 * half;
        store_points(
          out,
          xxs_point(at),
          xxs_point(at + 1),
          xxs_point(at + 2),
          xxs_point(at + 3),
          first | (second << 8),
          scale,
        );
      }
    }
  }
}

/** Address of a point of IQ3_S, whose ninth bit is bit 8 of `ninth`. */
// @ts-ignore: decorator
@inline
function s_point(at: usize, ninth: usize): usize {
  return iq3SGrid + 4 * (<usize>load<u8>(at) | (ninth & 256));
}

export function decode_iq3_s(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 110) {
    const d = load_f16(source);
    for (let block: usize = 0; block < 8; block++) {
      const nibble = ((<u32>load<u8>(source + 106 + (block >> 1))) >> (4 * (<u32>block & 1))) & 15;
      const odd = 2 * nibble + 1;
      const scale = f32x4.splat(d * <f32>odd);
      for (let half: usize = 0; half < 2; half++, out += 64) {
        const ninths = (<usize>load<u8>(source + 66 + block) << 8) >> (4 * half);
        const at = source + 2 + 8 * block + 4 * half;
        store_points(
          out,
          s_point(at, ninths),
          s_point(at + 1, ninths >> 1),
          s_point(at + 2, ninths >> 2),
          s_point(at + 3, ninths >> 3),
          load<u16>(source + 74 + 4 * block + 2 * half),
          scale,
        );
      }
    }
  }
}
