// IQ4_NL and IQ4_XS. Layouts and reference: src/quants/iq4.ts.
import { load_f16 } from "../half";
import { iq4Levels } from "../tables";

/** 32 weights of 16 bytes of codes. Looked up one by one: a vector look-up would need `i8x16.swizzle`. */
// @ts-ignore: decorator
@inline
function store_levels(out: usize, codes: usize, scale: f32): void {
  for (let j: usize = 0; j < 16; j++) {
    const pair = <usize>load<u8>(codes + j);
    store<f32>(out + (j << 2), scale * load<f32>(iq4Levels + ((pair & 15) << 2)));
    store<f32>(out + (j << 2), scale * load<f32>(iq4Levels + ((pair >> 4) << 2)), 64);
  }
}

export function decode_iq4_nl(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; out += 128, source += 18) {
    store_levels(out, source + 2, load_f16(source));
  }
}

export function decode_iq4_xs(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 136) {
    const d = load_f16(source);
    const uppers = <i32>load<u16>(source, 2);
    for (let block: usize = 0; block < 8; block++, out += 128) {
      const low = ((<i32>load<u8>(source + 4 + (block >> 1))) >> (4 * (<i32>block & 1))) & 15;
      const scale = low | (((uppers >> (2 * <i32>block)) & 3) << 4);
      store_levels(out, source + 8 + 16 * block, d * <f32>(scale - 32));
    }
  }
}
