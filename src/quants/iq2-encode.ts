/** Encoders of IQ2_XXS, IQ2_XS and IQ2_S. Layouts: see the decoders in `iq2.ts`; the search: `grid-encode.ts`. */
import { type GridFormat, gridEncoder } from "./grid-encode.js";
import { writeU16 } from "./half.js";

const starts = [4.4, 5.2, 6.3, 8.2];

/** Writes sub-scales, two to a byte. */
function packSubscales(subscales: Uint8Array, out: Uint8Array, at: number): void {
  for (let pair = 0; pair < subscales.length / 2; pair++) {
    out[at + pair] = subscales[2 * pair]! | (subscales[2 * pair + 1]! << 4);
  }
}

export const formatIQ2_XXS: GridFormat = {
  starts,
  grid: "IQ2_XXS",
  block: 32,
  evenSigns: true,
  bytes: 66,
  pack({ points, signs, subscales }, out, at) {
    for (let block = 0; block < 8; block++) {
      let word = subscales[block]! << 28;
      for (let group = 0; group < 4; group++) {
        out[at + 2 + 8 * block + group] = points[4 * block + group]!;
        word |= (signs[4 * block + group]! & 127) << (7 * group);
      }
      writeU16(out, at + 6 + 8 * block, word);
      writeU16(out, at + 8 + 8 * block, word >>> 16);
    }
  },
};

export const formatIQ2_XS: GridFormat = {
  starts,
  grid: "IQ2_XS",
  block: 16,
  evenSigns: true,
  bytes: 74,
  pack({ points, signs, subscales }, out, at) {
    for (let group = 0; group < 32; group++) {
      writeU16(out, at + 2 + 2 * group, points[group]! | ((signs[group]! & 127) << 9));
    }
    packSubscales(subscales, out, at + 66);
  },
};

export const formatIQ2_S: GridFormat = {
  starts,
  grid: "IQ2_S",
  block: 16,
  evenSigns: false,
  bytes: 82,
  pack({ points, signs, subscales }, out, at) {
    out.fill(0, at + 66, at + 74);
    for (let group = 0; group < 32; group++) {
      out[at + 2 + group] = points[group]!;
      out[at + 66 + (group >> 2)]! |= (points[group]! >> 8) << (2 * (group & 3));
    }
    out.set(signs, at + 34);
    packSubscales(subscales, out, at + 74);
  },
};

export const encodeIQ2_XXS = gridEncoder(formatIQ2_XXS);
export const encodeIQ2_XS = gridEncoder(formatIQ2_XS);
export const encodeIQ2_S = gridEncoder(formatIQ2_S);
