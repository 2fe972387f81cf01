/**
 * The grids of the IQ formats: which combinations of levels a group of weights can take. They are facts of the
 * formats, read out of llama.cpp's decoder by `scripts/generate-grids.mjs` and kept packed in `grids-packed.ts`.
 */
import { type GridName, gridShapes } from "./grid-shapes.js";
import { packedGrids } from "./grids-packed.js";

/** Level numbers of every point of a grid, point by point: `points * group` numbers. */
export function gridLevelNumbers(name: GridName): Uint8Array {
  const { group, points } = gridShapes[name];
  const bits = 16 / group;
  const packed = Buffer.from(packedGrids[name], "base64");
  const numbers = new Uint8Array(points * group);
  for (let point = 0; point < points; point++) {
    const word = packed.readUInt16LE(2 * point);
    for (let i = 0; i < group; i++) {
      numbers[point * group + i] = (word >> (bits * i)) & ((1 << bits) - 1);
    }
  }
  return numbers;
}

function values(name: GridName): Int8Array {
  const { levels } = gridShapes[name];
  return Int8Array.from(gridLevelNumbers(name), (number) => levels[number]!);
}

/** Values of every point, point by point: the weights of point p start at `group * p`. IQ1_M shares IQ1_S's. */
export const iq1Grid = values("IQ1_S");
export const iq2XxsGrid = values("IQ2_XXS");
export const iq2XsGrid = values("IQ2_XS");
export const iq2SGrid = values("IQ2_S");
export const iq3XxsGrid = values("IQ3_XXS");
export const iq3SGrid = values("IQ3_S");

/**
 * Eight sign bits of seven stored ones (IQ2_XXS, IQ2_XS, IQ3_XXS): the eighth makes the number of minus signs even.
 */
export function evenSigns(stored: number): number {
  let parity = stored ^ (stored >> 4);
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return stored | ((parity & 1) << 7);
}

/** `evenSigns` of all 128 stored patterns. */
export const evenSignsTable = Uint8Array.from({ length: 128 }, (_, stored) => evenSigns(stored));
