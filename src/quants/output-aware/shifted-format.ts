/** IQ1_S and IQ1_M for the output-aware encoder: values are points of a grid of -1, 0 and 1, shifted up or down. */
import { findNearest, type Nearest } from "../grid-search.js";
import { f16ToF32, f32ToF16 } from "../half.js";
import { iq1Shift } from "../iq1.js";
import { downBit, type Iq1Format, iq1Grids, mostSubscale } from "../iq1-encode.js";
import { type BlockFormat, superblockWeights } from "./format.js";

const unit = 8;
/** The grid's tables do not depend on the levels; these are the plain ones. */
const [up, down] = iq1Grids;
const plain = {
  ...up,
  levels: up.levels.map((level) => level - iq1Shift),
};

export function shiftedFormat(format: Iq1Format): BlockFormat {
  const blocks = superblockWeights / format.block;
  const nearest: Nearest = { point: 0, cost: 0, least: 0 };
  const points = new Uint16Array(superblockWeights / unit);
  const blockShifts = !format.groupShifts;
  return {
    choice: { kind: "shifted grid", grid: plain, shift: iq1Shift, blockShifts },
    block: format.block,
    unit,
    bytes: format.bytes,
    lowest: 0,
    highest: mostSubscale,
    highestMinimum: blockShifts ? 1 : 0,
    multiple: (s) => 2 * s + 1,
    read(bytes, at, scales) {
      scales.d = f16ToF32(format.readScale(bytes, at));
      for (let block = 0; block < blocks; block++) {
        scales.scales[block] = format.readSubscale(bytes, at, block);
        scales.minima[block] = blockShifts ? bytes[at + 35 + 2 * block]! >> 7 : 0;
      }
    },
    choose(targets, weights, at, scale, values, minimum) {
      let least = Infinity;
      for (const grid of blockShifts ? [minimum === 0 ? up : down] : iq1Grids) {
        findNearest(grid, targets.subarray(at, at + unit), weights, 0, scale, nearest);
        if (nearest.cost >= least) {
          continue;
        }
        least = nearest.cost;
        values.set(grid.magnitudes.subarray(unit * nearest.point, unit * (nearest.point + 1)), at);
      }
    },
    write(scales, values, from, out, at) {
      for (let group = 0; group < points.length; group++) {
        const start = from + unit * group;
        let pattern = 0;
        for (let i = start; i < start + unit; i++) {
          pattern = pattern * 3 + Math.round(values[i]!) + 1;
        }
        const isDown = values[start]! < Math.round(values[start]!);
        points[group] = up.pointOf[pattern]! | (isDown ? downBit : 0);
      }
      format.pack(points, Uint8Array.from(scales.scales), out, at);
      format.writeScale(f32ToF16(scales.d), out, at);
    },
  };
}
