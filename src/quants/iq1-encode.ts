/**
 * Encoders of IQ1_S and IQ1_M. Layouts: see the decoders in `iq1.ts`.
 *
 * A weight is d (2 s + 1) (q + shift): d of a superblock, a sub-scale s of 0 to 7 for each block of 32 or 16, q of -1, 0
 * and 1 of the point of its group of eight, and a shift of 1/8 up or down for each block (IQ1_S) or group (IQ1_M). The
 * search is that of `grid-encode.ts`, with two differences: levels have signs of their own, and each search is made for
 * both shifts, unless one cannot win.
 */
import type { RowEncoder } from "./block.js";
import type { Effort } from "./effort.js";
import { unbiasedScales } from "./gain.js";
import { findNearest, type Grid, gridWithLevels, type Nearest, nearestLevel } from "./grid-search.js";
import { readU16, writeU16 } from "./half.js";
import { iq1mScale, iq1mSubscale, iq1Shift } from "./iq1.js";
import { SubscalePool } from "./subscale-pool.js";

/** What distinguishes the two formats. */
export interface Iq1Format {
  /** Weights that share a sub-scale. */
  readonly block: 16 | 32;
  /** Whether every group of eight has a shift of its own, not every block. */
  readonly groupShifts: boolean;
  /** Bytes of a superblock. */
  readonly bytes: number;
  /** Writes points (with `downBit` where the shift is down) and sub-scales to `out[at]`. */
  readonly pack: (points: Uint16Array, subscales: Uint8Array, out: Uint8Array, at: number) => void;
  /** Writes the F16 bits of d. */
  readonly writeScale: (bits: number, out: Uint8Array, at: number) => void;
  /** Reads the F16 bits of d. */
  readonly readScale: (bytes: Uint8Array, at: number) => number;
  /** Reads a block's sub-scale. */
  readonly readSubscale: (bytes: Uint8Array, at: number, block: number) => number;
}

/** Set in the number of a point of the grid if its shift is down. */
export const downBit = 1 << 11;

/** One round of searching: see `Round` of `grid-encode.ts`. */
interface Round {
  readonly searches: number;
  readonly margin: number;
  readonly scales: number;
}

const rounds: Readonly<Record<Effort, readonly Round[]>> = {
  fast: [{ searches: 2, margin: 0, scales: 12 }],
  default: [{ searches: 4, margin: 0.03, scales: 12 }],
  fine: [
    { searches: 6, margin: 0.1, scales: 20 },
    { searches: 4, margin: 0.03, scales: 20 },
  ],
};

const superblockWeights = 256;
const groupWeights = 8;
export const mostSubscale = 7;
const poolCapacity = 12;
/** First guesses of a block's scale: its largest magnitude divided by these. */
const starts = [1, 1.3, 1.7, 2.3] as const;

/** The grid with either shift: up, down. */
export const iq1Grids: readonly [Grid, Grid] = [
  gridWithLevels("IQ1_S", [-1 + iq1Shift, iq1Shift, 1 + iq1Shift]),
  gridWithLevels("IQ1_S", [-1 - iq1Shift, -iq1Shift, 1 - iq1Shift]),
];

/** Working memory of the encoder, for one superblock at a time. */
class Iq1Encoder {
  readonly #format: Iq1Format;
  readonly #blocks: number;
  readonly #groups: number;
  readonly #x = new Float64Array(superblockWeights);
  /** Importance, with mean 1 over the row, and what the search uses: raised for larger weights. */
  readonly #importance = new Float64Array(superblockWeights);
  readonly #weights = new Float64Array(superblockWeights);
  readonly #points = new Uint16Array(superblockWeights / groupWeights);
  readonly #subscales: Uint8Array;
  readonly #pool: SubscalePool;
  /** Cost without the grid of each sub-scale, and of each shift if blocks have one. */
  readonly #bounds = new Float64Array(2 * (mostSubscale + 1));
  readonly #nearest: Nearest = { point: 0, cost: 0, least: 0 };

  constructor(format: Iq1Format) {
    this.#format = format;
    this.#blocks = superblockWeights / format.block;
    this.#groups = format.block / groupWeights;
    this.#subscales = new Uint8Array(this.#blocks);
    this.#pool = new SubscalePool(this.#blocks, this.#groups, poolCapacity, mostSubscale);
  }

  encodeRow(row: Float32Array, importance: Float32Array | undefined, effort: Effort, out: Uint8Array): void {
    const { bytes, pack, writeScale } = this.#format;
    const superblocks = row.length / superblockWeights;
    const scales = new Float64Array(superblocks);
    const products = new Float64Array(superblocks);
    const mean = importance ? importance.reduce((sum, value) => sum + value, 0) / row.length : 0;
    let square = 0;
    for (let k = 0; k < superblocks; k++) {
      this.#load(row, importance, mean, k * superblockWeights);
      scales[k] = this.#encodeSuperblock(effort);
      for (let i = 0; i < superblockWeights; i++) {
        square += this.#importance[i]! * this.#x[i]! ** 2;
      }
      products[k] = this.#product();
      pack(this.#points, this.#subscales, out, k * bytes);
    }
    for (const [k, bits] of unbiasedScales(scales, products, square).entries()) {
      writeScale(bits, out, k * bytes);
    }
  }

  #load(row: Float32Array, importance: Float32Array | undefined, mean: number, at: number): void {
    const own = this.#importance;
    const weights = this.#weights;
    const x = this.#x;
    let square = 0;
    for (let i = 0; i < superblockWeights; i++) {
      x[i] = row[at + i]!;
      square += x[i]! ** 2;
    }
    const spread = (2 * square) / superblockWeights;
    for (let i = 0; i < superblockWeights; i++) {
      // Columns that calibration never saw still get the least of attention.
      own[i] = importance && mean > 0 ? Math.max(importance[at + i]! / mean, 1e-6) : 1;
      weights[i] = own[i]! * (spread + x[i]! ** 2) ** 0.125;
    }
  }

  /** Finds points and sub-scales; returns the superblock's scale. */
  #encodeSuperblock(effort: Effort): number {
    this.#pool.clear();
    let scale = this.#firstScale();
    if (scale === 0) {
      this.#points.fill(0);
      this.#subscales.fill(0);
      return 0;
    }
    for (const round of rounds[effort]) {
      for (let block = 0; block < this.#blocks; block++) {
        this.#searchBlock(block, scale, round);
      }
      scale = this.#pool.bestScale(scale, round.scales);
    }
    for (let block = 0; block < this.#blocks; block++) {
      const entry = this.#pool.bestEntry(block, scale);
      this.#subscales[block] = this.#pool.subscale(entry, scale);
      this.#points.set(this.#pool.points(entry), block * this.#groups);
    }
    return scale;
  }

  /** The superblock scale that gives the largest best scale of a block, without the grid, the largest sub-scale. */
  #firstScale(): number {
    const { block } = this.#format;
    let largest = 0;
    for (let from = 0; from < superblockWeights; from += block) {
      largest = Math.max(largest, this.#firstBlockScale(from, from + block));
    }
    const scale = largest / (2 * mostSubscale + 1);
    // Below 2^-18 an F16 has less than seven bits: then it is better to leave the upper sub-scales unused.
    return scale === 0 || scale >= 2 ** -18 ? scale : Math.max(Math.min(2 ** -18, largest / 5), 2 ** -24);
  }

  #firstBlockScale(from: number, to: number): number {
    const x = this.#x;
    const weights = this.#weights;
    let maximum = 0;
    for (let i = from; i < to; i++) {
      maximum = Math.max(maximum, Math.abs(x[i]!));
    }
    let best = 0;
    let blockScale = 0;
    for (const start of maximum > 0 ? starts : []) {
      for (const { levels, bounds } of iq1Grids) {
        let qx = 0;
        let q2 = 0;
        for (let i = from; i < to; i++) {
          const q = levels[nearestLevel(bounds, (x[i]! * start) / maximum)]!;
          qx += weights[i]! * q * x[i]!;
          q2 += weights[i]! * q * q;
        }
        if (qx > 0 && qx * qx > best * q2) {
          best = (qx * qx) / q2;
          blockScale = qx / q2;
        }
      }
    }
    return blockScale;
  }

  /** Searches the grid where it looks best without, and adds the results to the pool. */
  #searchBlock(block: number, scale: number, { searches, margin }: Round): void {
    const { block: size, groupShifts } = this.#format;
    const bounds = this.#bounds;
    const shifts = groupShifts ? 1 : 2;
    const candidates = shifts * (mostSubscale + 1);
    for (let i = 0; i < candidates; i++) {
      const blockScale = scale * (2 * Math.floor(i / shifts) + 1);
      bounds[i] = groupShifts
        ? this.#freestCost(block, blockScale)
        : this.#costWithoutGrid(block * size, size, blockScale, i % 2);
    }
    let energy = 0;
    for (let i = block * size; i < (block + 1) * size; i++) {
      energy += this.#weights[i]! * this.#x[i]! ** 2;
    }
    let limit = this.#pool.leastCost(block, scale);
    for (let search = 0; search < searches; search++) {
      let next = 0;
      for (let i = 1; i < candidates; i++) {
        if (bounds[i]! < bounds[next]!) {
          next = i;
        }
      }
      if (bounds[next]! >= limit) {
        break;
      }
      const blockScale = scale * (2 * Math.floor(next / shifts) + 1);
      const cost = this.#addToPool(
        block,
        blockScale,
        groupShifts ? undefined : next % 2,
        bounds[next]!,
        limit,
      );
      limit = Math.min(limit, cost + margin * (cost + energy));
      bounds[next] = Infinity;
    }
  }

  /** Cost of weights when each takes its nearest level. */
  #costWithoutGrid(from: number, count: number, scale: number, shift: number): number {
    const x = this.#x;
    const weights = this.#weights;
    const { levels, bounds } = iq1Grids[shift]!;
    let cost = 0;
    for (let i = from; i < from + count; i++) {
      const q = scale * levels[nearestLevel(bounds, x[i]! / scale)]!;
      cost += weights[i]! * q * (q - 2 * x[i]!);
    }
    return cost;
  }

  /** The same for a block, each group with its better shift. */
  #freestCost(block: number, scale: number): number {
    const from = block * this.#format.block;
    let cost = 0;
    for (let at = from; at < from + this.#format.block; at += groupWeights) {
      cost += Math.min(
        this.#costWithoutGrid(at, groupWeights, scale, 0),
        this.#costWithoutGrid(at, groupWeights, scale, 1),
      );
    }
    return cost;
  }

  /**
   * Adds the nearest points of a block's groups at a scale to its pool, unless they cost `limit` or more. Returns the
   * cost, or Infinity.
   * @param shift of the block; undefined: of each group the better one
   * @param bound cost without the grid
   */
  #addToPool(block: number, scale: number, shift: number | undefined, bound: number, limit: number): number {
    const x = this.#x;
    const weights = this.#weights;
    const nearest = this.#nearest;
    const points = this.#pool.nextPoints(block);
    let cost = bound;
    let qx = 0;
    let q2 = 0;
    for (let group = 0; group < this.#groups; group++) {
      const at = block * this.#format.block + groupWeights * group;
      let best = { point: 0, shift: 0, cost: Infinity };
      let least = Infinity;
      for (const tried of shift === undefined ? [0, 1] : [shift]) {
        findNearest(iq1Grids[tried]!, x, weights, at, scale, nearest);
        least = Math.min(least, nearest.least);
        if (nearest.cost < best.cost) {
          best = { point: nearest.point, shift: tried, cost: nearest.cost };
        }
      }
      points[group] = best.point | (best.shift === 1 ? downBit : 0);
      const { magnitudes } = iq1Grids[best.shift]!;
      for (let i = 0; i < groupWeights; i++) {
        const q = magnitudes[best.point * groupWeights + i]!;
        qx += weights[at + i]! * q * x[at + i]!;
        q2 += weights[at + i]! * q * q;
      }
      cost += best.cost - least;
      if (cost >= limit) {
        return Infinity;
      }
    }
    this.#pool.add(block, qx, q2);
    return cost;
  }

  /** <W, Q> of the superblock with scale 1, weighted by importance. */
  #product(): number {
    let product = 0;
    for (let i = 0; i < superblockWeights; i++) {
      const point = this.#points[i >> 3]!;
      const { magnitudes } = iq1Grids[point & downBit ? 1 : 0]!;
      const q = magnitudes[(point & (downBit - 1)) * groupWeights + (i & 7)]!;
      const factor = 2 * this.#subscales[Math.floor(i / this.#format.block)]! + 1;
      product += this.#importance[i]! * this.#x[i]! * q * factor;
    }
    return product;
  }
}

function iq1Encoder(format: Iq1Format): RowEncoder {
  let encoder: Iq1Encoder | undefined;
  return (row, importance, out, effort) => {
    encoder ??= new Iq1Encoder(format);
    encoder.encodeRow(row, importance, effort, out);
  };
}

export const formatIQ1_S: Iq1Format = {
  block: 32,
  groupShifts: false,
  bytes: 50,
  pack(points, subscales, out, at) {
    for (let block = 0; block < 8; block++) {
      let word = (subscales[block]! << 12) | (points[4 * block]! & downBit ? 0x8000 : 0);
      for (let group = 0; group < 4; group++) {
        const point = points[4 * block + group]!;
        out[at + 2 + 4 * block + group] = point;
        word |= ((point >> 8) & 7) << (3 * group);
      }
      writeU16(out, at + 34 + 2 * block, word);
    }
  },
  writeScale: (bits, out, at) => writeU16(out, at, bits),
  readScale: (bytes, at) => readU16(bytes, at),
  readSubscale: (bytes, at, block) => (readU16(bytes, at + 34 + 2 * block) >> 12) & 7,
};

export const formatIQ1_M: Iq1Format = {
  block: 16,
  groupShifts: true,
  bytes: 56,
  pack(points, subscales, out, at) {
    for (let group = 0; group < 32; group += 2) {
      const [first, second] = [points[group]!, points[group + 1]!];
      out[at + group] = first;
      out[at + group + 1] = second;
      out[at + 32 + (group >> 1)] = (first >> 8) | ((second >> 8) << 4);
    }
    for (let quarter = 0; quarter < 4; quarter++) {
      let word = 0;
      for (let i = 0; i < 4; i++) {
        word |= subscales[4 * quarter + i]! << (3 * i);
      }
      writeU16(out, at + 48 + 2 * quarter, word);
    }
  },
  writeScale(bits, out, at) {
    for (let quarter = 0; quarter < 4; quarter++) {
      const place = at + 49 + 2 * quarter;
      out[place] = (out[place]! & 15) | (((bits >> (4 * quarter)) & 15) << 4);
    }
  },
  readScale: (bytes, at) => iq1mScale(bytes, at),
  readSubscale: (bytes, at, block) => iq1mSubscale(bytes, at, block),
};

export const encodeIQ1_S = iq1Encoder(formatIQ1_S);
export const encodeIQ1_M = iq1Encoder(formatIQ1_M);
