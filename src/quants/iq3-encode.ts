/** Encoders of IQ3_XXS and IQ3_S. Layouts: see the decoders in `iq3.ts`; the search: `grid-encode.ts`. */
import { type GridFormat, gridEncoder } from "./grid-encode.js";
import { writeU16 } from "./half.js";

const common = {
  starts: [13, 14.5, 16.5, 19.5],
  block: 32,
} as const satisfies Partial<GridFormat>;

export const formatIQ3_XXS: GridFormat = {
  ...common,
  grid: "IQ3_XXS",
  evenSigns: true,
  bytes: 98,
  pack({ points, signs, subscales }, out, at) {
    out.set(points, at + 2);
    for (let block = 0; block < 8; block++) {
      let word = subscales[block]! << 28;
      for (let eight = 0; eight < 4; eight++) {
        word |= (signs[4 * block + eight]! & 127) << (7 * eight);
      }
      writeU16(out, at + 66 + 4 * block, word);
      writeU16(out, at + 68 + 4 * block, word >>> 16);
    }
  },
};

export const formatIQ3_S: GridFormat = {
  ...common,
  grid: "IQ3_S",
  evenSigns: false,
  bytes: 110,
  pack({ points, signs, subscales }, out, at) {
    out.fill(0, at + 66, at + 74);
    for (let group = 0; group < 64; group++) {
      out[at + 2 + group] = points[group]!;
      out[at + 66 + (group >> 3)]! |= (points[group]! >> 8) << (group & 7);
    }
    out.set(signs, at + 74);
    for (let pair = 0; pair < 4; pair++) {
      out[at + 106 + pair] = subscales[2 * pair]! | (subscales[2 * pair + 1]! << 4);
    }
  },
};

export const encodeIQ3_XXS = gridEncoder(formatIQ3_XXS);
export const encodeIQ3_S = gridEncoder(formatIQ3_S);
