// IQ3_XXS and IQ3_S. Layouts and reference: src/quants/iq3.ts.
import { load_f16 } from "../half";
import { sign_bits } from "../lanes";
import { evenSignsTable, iq3SGrid, iq3XxsGrid } from "../tables";

/** Four weights: the levels at `point`, times scale, with a sign bit each. */
// @ts-ignore: decorator
@inline
function store_quad(out: usize, point: usize, signs: u32, scale: v128): void {
  const levels = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(point)));
  v128.store(out, v128.xor(f32x4.mul(scale, f32x4.convert_i32x4_s(levels)), sign_bits(signs)));
}

export function decode_iq3_xxs(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 98) {
    const d = load_f16(source);
    for (let block: usize = 0; block < 8; block++) {
      const points = source + 2 + 8 * block;
      const signsAndScale = load<u32>(source + 66 + 4 * block);
      const scale = f32x4.splat(d * (<f32>0.5 + <f32>(signsAndScale >> 28)) * <f32>0.5);
      for (let pair: usize = 0; pair < 4; pair++, out += 32) {
        const signs = <u32>load<u8>(evenSignsTable + ((signsAndScale >> (7 * <u32>pair)) & 127));
        store_quad(out, iq3XxsGrid + 4 * <usize>load<u8>(points + 2 * pair), signs, scale);
        store_quad(out + 16, iq3XxsGrid + 4 * <usize>load<u8>(points + 2 * pair, 1), signs >> 4, scale);
      }
    }
  }
}

export function decode_iq3_s(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 110) {
    const d = load_f16(source);
    for (let block: usize = 0; block < 8; block++) {
      const nibble = ((<u32>load<u8>(source + 106 + (block >> 1))) >> (4 * (<u32>block & 1))) & 15;
      const odd = 2 * nibble + 1;
      const scale = f32x4.splat(d * <f32>odd);
      const ninths = <usize>load<u8>(source + 66 + block) << 8;
      for (let pair: usize = 0; pair < 4; pair++, out += 32) {
        const at = source + 2 + 8 * block + 2 * pair;
        const first = <usize>load<u8>(at) | ((ninths >> (2 * pair)) & 256);
        const second = <usize>load<u8>(at, 1) | ((ninths >> (2 * pair + 1)) & 256);
        const signs = <u32>load<u8>(source + 74 + 4 * block + pair);
        store_quad(out, iq3SGrid + 4 * first, signs, scale);
        store_quad(out + 16, iq3SGrid + 4 * second, signs >> 4, scale);
      }
    }
  }
}
