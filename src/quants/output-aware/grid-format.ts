/** The IQ2 and IQ3 formats for the output-aware encoder: values are points of a grid with signs. */
import type { Codes, GridFormat } from "../grid-encode.js";
import { buildGrid, findNearest, type Grid, type Nearest } from "../grid-search.js";
import { f32ToF16, readF16, writeU16 } from "../half.js";
import { type BlockFormat, superblockWeights } from "./format.js";

/** Integer scale of a block in an encoded superblock. */
type ReadScale = (bytes: Uint8Array, at: number, block: number) => number;

/**
 * @param read where the integer scales lie; the rest is known from the diagonal encoder's format
 */
export function gridFormat(format: GridFormat, read: ReadScale): BlockFormat {
  const grid = buildGrid(format.grid);
  const blocks = superblockWeights / format.block;
  const unit = format.evenSigns ? 8 : grid.group;
  const levels = levelsByEighths(grid);
  const magnitudes = new Float64Array(unit);
  const nearest: Nearest = { point: 0, cost: 0, least: 0 };
  const codes: Codes = {
    points: new Uint16Array(superblockWeights / grid.group),
    signs: new Uint8Array(superblockWeights / 8),
    subscales: new Uint8Array(blocks),
  };
  return {
    choice: { kind: "grid", grid, evenSigns: format.evenSigns },
    block: format.block,
    unit,
    bytes: format.bytes,
    lowest: 0,
    highest: 15,
    highestMinimum: 0,
    multiple: (s) => 2 * s + 1,
    read(bytes, at, scales) {
      scales.d = readF16(bytes, at);
      for (let block = 0; block < blocks; block++) {
        scales.scales[block] = read(bytes, at, block);
      }
    },
    choose(targets, weights, at, scale, values) {
      for (let i = 0; i < unit; i++) {
        magnitudes[i] = Math.abs(targets[at + i]!);
      }
      const wrong = format.evenSigns ? wrongSign(targets, weights, at, scale) : -1;
      if (wrong >= 0) {
        magnitudes[wrong] = -magnitudes[wrong]!;
      }
      for (let from = 0; from < unit; from += grid.group) {
        findNearest(grid, magnitudes, weights, from, scale, nearest);
        for (let i = from; i < from + grid.group; i++) {
          const magnitude = grid.magnitudes[nearest.point * grid.group + i - from]!;
          values[at + i] = targets[at + i]! < 0 !== (i === wrong) ? -magnitude : magnitude;
        }
      }
    },
    write(scales, values, from, out, at) {
      writeU16(out, at, f32ToF16(scales.d));
      codes.subscales.set(scales.scales);
      codes.signs.fill(0);
      for (let i = 0; i < superblockWeights; i++) {
        if (values[from + i]! < 0) {
          codes.signs[i >> 3]! |= 1 << (i & 7);
        }
      }
      for (let group = 0; group < codes.points.length; group++) {
        codes.points[group] = pointAt(grid, levels, values, from + group * grid.group);
      }
      format.pack(codes, out, at);
    },
  };
}

/**
 * Where eight weights must have an even number of minus signs and have not: the one whose sign costs least to turn
 * (see `makeSignsEven` of `grid-encode.ts`); else -1.
 */
function wrongSign(targets: Float64Array, weights: Float64Array, at: number, scale: number): number {
  let minus = 0;
  let cheapest = 0;
  let least = Infinity;
  for (let i = 0; i < 8; i++) {
    const magnitude = Math.abs(targets[at + i]!);
    if (targets[at + i]! < 0) {
      minus++;
    }
    const cost = weights[i]! * magnitude * (magnitude + 2 * scale);
    if (cost < least) {
      least = cost;
      cheapest = i;
    }
  }
  return minus % 2 === 0 ? -1 : cheapest;
}

/** Numbers of a grid's levels by eight times their magnitudes, which are whole numbers. */
function levelsByEighths(grid: Grid): Uint8Array {
  const numbers = new Uint8Array(8 * grid.levels.at(-1)! + 1);
  for (const [number, level] of grid.levels.entries()) {
    numbers[8 * level] = number;
  }
  return numbers;
}

/** Number of the grid point with the magnitudes of a group's values. */
function pointAt(grid: Grid, levels: Uint8Array, values: Float32Array | Float64Array, at: number): number {
  let pattern = 0;
  for (let i = at; i < at + grid.group; i++) {
    pattern = pattern * grid.levels.length + levels[8 * Math.abs(values[i]!)]!;
  }
  return grid.pointOf[pattern]!;
}

/** A nibble for each block, from `offset` on. */
export function nibbleAt(offset: number): ReadScale {
  return (bytes, at, block) => (bytes[at + offset + (block >> 1)]! >> (4 * (block & 1))) & 15;
}

/** The highest four bits of a 32-bit word for each block: words from `offset` on, `stride` bytes apart. */
export function topNibbleAt(offset: number, stride: number): ReadScale {
  return (bytes, at, block) => bytes[at + offset + stride * block + 3]! >> 4;
}
