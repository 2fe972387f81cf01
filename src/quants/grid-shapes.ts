/** What the grids of the IQ formats are: how many weights in a group, which levels, how many points. */

/** Levels that a weight's magnitude takes in the IQ2 formats (before the scale), ascending. */
export const iq2Levels = [8, 25, 43] as const;
/** The same for IQ3_XXS. */
export const iq3XxsLevels = [4, 12, 20, 28, 36, 44, 52, 62] as const;
/** The same for IQ3_S. */
export const iq3SLevels = [1, 3, 5, 7, 9, 11, 13, 15] as const;
/** Values (signed) of a weight in the IQ1 formats, before the shift of 1/8. */
export const iq1Levels = [-1, 0, 1] as const;

/** What there is to know about a grid: weights in a group, levels, number of points. */
export interface GridShape {
  readonly group: number;
  readonly levels: readonly number[];
  readonly points: number;
}

export const gridShapes = {
  IQ1_S: { group: 8, levels: iq1Levels, points: 2048 },
  IQ2_XXS: { group: 8, levels: iq2Levels, points: 256 },
  IQ2_XS: { group: 8, levels: iq2Levels, points: 512 },
  IQ2_S: { group: 8, levels: iq2Levels, points: 1024 },
  IQ3_XXS: { group: 4, levels: iq3XxsLevels, points: 256 },
  IQ3_S: { group: 4, levels: iq3SLevels, points: 512 },
} as const satisfies Record<string, GridShape>;

export type GridName = keyof typeof gridShapes;

/** A grid packed as it is kept: per point 16 bits, the first weight's level number in the lowest. */
export function packGrid(name: GridName, levelNumbers: Uint8Array): string {
  const { group, points } = gridShapes[name];
  const bits = 16 / group;
  const packed = Buffer.alloc(2 * points);
  for (let point = 0; point < points; point++) {
    let word = 0;
    for (let i = 0; i < group; i++) {
      word |= levelNumbers[point * group + i]! << (bits * i);
    }
    packed.writeUInt16LE(word, 2 * point);
  }
  return packed.toString("base64");
}
