/**
 * The encoder of the formats whose groups of weights are points of a grid: IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S.
 *
 * A weight is d (2 s + 1) q with a sign: d of a superblock of 256 (F16), a sub-scale s of 0 to 15 for each block of
 * 16 or 32, q of the point of its group. Wanted are d, s and points of least squared error. They hang together
 * badly: the cost of a block as a function of its scale d (2 s + 1) is ragged, since the points change with it. So:
 *
 * 1. Each block's best scale without the grid, from a few starts; the largest of them / 31 is a first d.
 * 2. For each block, the sub-scales around that scale are ranked by their cost without the grid (a lower bound);
 *    the grid is searched at the best of them. All results stay in a pool: with fixed points, the cost is a parabola
 *    in the scale. A search that comes out clearly worse than the best so far is broken off: that saves a third.
 * 3. With these parabolas, the total cost of any d is known at once; the best of many d is taken and refined by
 *    least squares. (At effort `fine`, steps 2 and 3 happen again from there.)
 * 4. At the end of the row, its scales are multiplied so that the gain is exactly one (`gain.ts`).
 */
import type { RowEncoder } from "./block.js";
import type { Effort } from "./effort.js";
import { writeUnbiasedScales } from "./gain.js";
import { buildGrid, findNearest, type Grid, type Nearest, nearestLevel } from "./grid-search.js";
import type { GridName } from "./grid-shapes.js";
import { SubscalePool } from "./subscale-pool.js";

/** What distinguishes the formats. */
export interface GridFormat {
  readonly grid: GridName;
  /** Weights that share a sub-scale. */
  readonly block: 16 | 32;
  /** Whether every eight weights must have an even number of minus signs (the eighth sign bit is not stored). */
  readonly evenSigns: boolean;
  /** Bytes of a superblock; the first two are d. */
  readonly bytes: number;
  /** First guesses of a block's scale: its largest magnitude divided by these. */
  readonly starts: readonly number[];
  /** Writes points, signs and sub-scales (all but d) to `out[at]`. */
  readonly pack: (codes: Codes, out: Uint8Array, at: number) => void;
}

/** The codes of a superblock. */
export interface Codes {
  /** Point of each group. */
  readonly points: Uint16Array;
  /** Eight sign bits for each eight weights. */
  readonly signs: Uint8Array;
  /** Sub-scale of each block. */
  readonly subscales: Uint8Array;
}

/** One round of searching. */
interface Round {
  /** Sub-scales of each block at which the grid is searched, at most. */
  readonly searches: number;
  /** A search is broken off when its squared error exceeds the block's least so far by this fraction. */
  readonly margin: number;
  /** Superblock scales tried, 2 % apart, around the first. */
  readonly scales: number;
}

/** Rounds of each effort. IQ2_S, whose grid is the largest, gets by with less: a fourth search gains 0.3 %. */
function roundsOf(effort: Effort, grid: GridName): readonly Round[] {
  switch (effort) {
    case "fast":
      return [{ searches: 2, margin: 0, scales: 12 }];
    case "default":
      return grid === "IQ2_S"
        ? [{ searches: 3, margin: 0.015, scales: 12 }]
        : [{ searches: 4, margin: 0.03, scales: 12 }];
    case "fine":
      return [
        { searches: 7, margin: 0.1, scales: 20 },
        { searches: 3, margin: 0.03, scales: 20 },
      ];
  }
}

const superblockWeights = 256;
const maxSubscale = 15;
/** Neighbouring sub-scales that are ranked. */
const rankedCandidates = 8;
/** Pool entries of a block: no fewer than the searches of all rounds. */
const poolSize = 10;

/** Makes the row encoder of a format. */
export function gridEncoder(format: GridFormat): RowEncoder {
  let encoder: GridEncoder | undefined;
  return (row, importance, out, effort) => {
    encoder ??= new GridEncoder(format);
    encoder.encodeRow(row, importance, effort, out);
  };
}

/** Working memory of the encoder, for one superblock at a time. */
class GridEncoder {
  readonly #grid: Grid;
  readonly #blocks: number;
  readonly #groupsPerBlock: number;
  /** Importance, with mean 1 over the row, and what the search uses: raised for larger weights. */
  readonly #importance = new Float64Array(superblockWeights);
  readonly #weights = new Float64Array(superblockWeights);
  /** Magnitudes; negative where the sign bit will be wrong because of parity. */
  readonly #x = new Float64Array(superblockWeights);
  readonly #codes: Codes;
  /** Best scale of each block as far as known. */
  readonly #blockScales: Float64Array;
  readonly #pool: SubscalePool;
  readonly #bounds = new Float64Array(rankedCandidates);
  readonly #nearest: Nearest = { point: 0, cost: 0, least: 0 };

  readonly #format: GridFormat;

  constructor(format: GridFormat) {
    this.#format = format;
    this.#grid = buildGrid(format.grid);
    this.#blocks = superblockWeights / format.block;
    this.#groupsPerBlock = format.block / this.#grid.group;
    this.#codes = {
      points: new Uint16Array(superblockWeights / this.#grid.group),
      signs: new Uint8Array(superblockWeights / 8),
      subscales: new Uint8Array(this.#blocks),
    };
    this.#blockScales = new Float64Array(this.#blocks);
    this.#pool = new SubscalePool(this.#blocks, this.#groupsPerBlock, poolSize, maxSubscale);
  }

  encodeRow(row: Float32Array, importance: Float32Array | undefined, effort: Effort, out: Uint8Array): void {
    const { bytes, pack } = this.#format;
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
      pack(this.#codes, out, k * bytes);
    }
    writeUnbiasedScales(scales, products, square, out, bytes, 0);
  }

  /** Reads a superblock: importance, search weights, magnitudes and signs. */
  #load(row: Float32Array, importance: Float32Array | undefined, mean: number, at: number): void {
    const own = this.#importance;
    const weights = this.#weights;
    const x = this.#x;
    const codes = this.#codes;
    let square = 0;
    for (let i = 0; i < superblockWeights; i++) {
      square += row[at + i]! ** 2;
    }
    const spread = (2 * square) / superblockWeights;
    codes.signs.fill(0);
    for (let i = 0; i < superblockWeights; i++) {
      const value = row[at + i]!;
      // Columns that calibration never saw still get the least of attention.
      own[i] = importance && mean > 0 ? Math.max(importance[at + i]! / mean, 1e-6) : 1;
      weights[i] = own[i]! * (spread + value * value) ** 0.125;
      x[i] = Math.abs(value);
      if (value < 0) {
        codes.signs[i >> 3]! |= 1 << (i & 7);
      }
    }
    if (this.#format.evenSigns) {
      const step = Math.sqrt(square / superblockWeights) / this.#grid.levels.length;
      for (let eight = 0; eight < superblockWeights / 8; eight++) {
        this.#makeSignsEven(eight, step);
      }
    }
  }

  /**
   * Where the number of minus signs is odd, one weight must get the wrong sign. With scale s its cost rises from
   * about zero to about weight (s + x)^2, so by about weight x (x + 2 s): the cheapest one it is.
   */
  #makeSignsEven(eight: number, step: number): void {
    const x = this.#x;
    const weights = this.#weights;
    const codes = this.#codes;
    let minus = 0;
    for (let bits = codes.signs[eight]!; bits !== 0; bits &= bits - 1) {
      minus++;
    }
    if (minus % 2 === 0) {
      return;
    }
    let cheapest = 0;
    let least = Infinity;
    for (let i = 0; i < 8; i++) {
      const magnitude = x[8 * eight + i]!;
      const cost = weights[8 * eight + i]! * magnitude * (magnitude + 2 * step);
      if (cost < least) {
        least = cost;
        cheapest = i;
      }
    }
    codes.signs[eight]! ^= 1 << cheapest;
    x[8 * eight + cheapest] = -x[8 * eight + cheapest]!;
  }

  /** Finds points and sub-scales; returns the superblock's scale. */
  #encodeSuperblock(effort: Effort): number {
    this.#pool.clear();
    let scale = this.#firstScales();
    if (scale === 0) {
      this.#codes.points.fill(0);
      this.#codes.subscales.fill(0);
      return 0;
    }
    for (const round of roundsOf(effort, this.#format.grid)) {
      for (let block = 0; block < this.#blocks; block++) {
        this.#searchBlock(block, scale, round);
      }
      scale = this.#pool.bestScale(scale, round.scales);
      for (let block = 0; block < this.#blocks; block++) {
        this.#blockScales[block] = this.#pool.ratio(this.#pool.bestEntry(block, scale));
      }
    }
    this.#choosePoints(scale);
    return scale;
  }

  /**
   * Scale of each block for the nearest levels, grid or not: rounding at a start, then least squares. Returns the
   * superblock scale that makes the largest of them the largest sub-scale.
   */
  #firstScales(): number {
    const x = this.#x;
    const weights = this.#weights;
    const grid = this.#grid;
    const blockScales = this.#blockScales;
    let largest = 0;
    for (let block = 0; block < this.#blocks; block++) {
      const from = block * this.#format.block;
      const to = from + this.#format.block;
      let maximum = 0;
      for (let i = from; i < to; i++) {
        maximum = Math.max(maximum, x[i]!);
      }
      blockScales[block] = 0;
      let best = 0;
      for (const start of maximum > 0 ? this.#format.starts : []) {
        const scale = maximum / start;
        let qx = 0;
        let q2 = 0;
        for (let i = from; i < to; i++) {
          const q = grid.levels[nearestLevel(grid.bounds, x[i]! / scale)]!;
          qx += weights[i]! * q * x[i]!;
          q2 += weights[i]! * q * q;
        }
        if (qx > 0 && qx * qx > best * q2) {
          best = (qx * qx) / q2;
          blockScales[block] = qx / q2;
        }
      }
      largest = Math.max(largest, blockScales[block]!);
    }
    return representableScale(largest);
  }

  /** Searches the grid at the sub-scales that look best, near the block's scale, and adds the results to the pool. */
  #searchBlock(block: number, scale: number, { searches, margin }: Round): void {
    const bounds = this.#bounds;
    const centre = Math.floor((this.#blockScales[block]! / scale - 1) / 2);
    const low = Math.min(maxSubscale + 1 - rankedCandidates, Math.max(0, centre - 3));
    for (let i = 0; i < rankedCandidates; i++) {
      bounds[i] = this.#costWithoutGrid(block, scale * (2 * (low + i) + 1));
    }
    const energy = this.#energy(block);
    let limit = this.#pool.leastCost(block, scale);
    for (let search = 0; search < searches; search++) {
      let next = 0;
      for (let i = 1; i < rankedCandidates; i++) {
        if (bounds[i]! < bounds[next]!) {
          next = i;
        }
      }
      if (bounds[next]! >= limit) {
        break;
      }
      const cost = this.#addToPool(block, scale * (2 * (low + next) + 1), limit);
      limit = Math.min(limit, cost + margin * (cost + energy));
      bounds[next] = Infinity;
    }
  }

  /** Squared error of a block whose weights were all encoded as zero. */
  #energy(block: number): number {
    let sum = 0;
    for (let i = block * this.#format.block; i < (block + 1) * this.#format.block; i++) {
      sum += this.#weights[i]! * this.#x[i]! ** 2;
    }
    return sum;
  }

  /** Cost of a block when every weight takes its nearest level. */
  #costWithoutGrid(block: number, scale: number): number {
    const x = this.#x;
    const weights = this.#weights;
    const grid = this.#grid;
    let cost = 0;
    for (let i = block * this.#format.block; i < (block + 1) * this.#format.block; i++) {
      const q = scale * grid.levels[nearestLevel(grid.bounds, x[i]! / scale)]!;
      cost += weights[i]! * q * (q - 2 * x[i]!);
    }
    return cost;
  }

  /**
   * Adds the nearest points of a block's groups at a scale to its pool, unless they cost `limit` or more. Returns the
   * cost, or Infinity.
   */
  #addToPool(block: number, scale: number, limit: number): number {
    const x = this.#x;
    const weights = this.#weights;
    const grid = this.#grid;
    const groupsPerBlock = this.#groupsPerBlock;
    const nearest = this.#nearest;
    const points = this.#pool.nextPoints(block);
    let cost = this.#costWithoutGrid(block, scale);
    let qx = 0;
    let q2 = 0;
    for (let group = 0, at = block * this.#format.block; group < groupsPerBlock; group++, at += grid.group) {
      findNearest(grid, x, weights, at, scale, nearest);
      points[group] = nearest.point;
      for (let i = 0; i < grid.group; i++) {
        const q = grid.magnitudes[nearest.point * grid.group + i]!;
        qx += weights[at + i]! * q * x[at + i]!;
        q2 += weights[at + i]! * q * q;
      }
      cost += nearest.cost - nearest.least;
      if (cost >= limit) {
        return Infinity;
      }
    }
    this.#pool.add(block, qx, q2);
    return cost;
  }

  #choosePoints(scale: number): void {
    const codes = this.#codes;
    const groupsPerBlock = this.#groupsPerBlock;
    for (let block = 0; block < this.#blocks; block++) {
      const entry = this.#pool.bestEntry(block, scale);
      codes.subscales[block] = this.#pool.subscale(entry, scale);
      codes.points.set(this.#pool.points(entry), block * groupsPerBlock);
    }
  }

  /** <W, Q> of the superblock with scale 1, weighted by importance. */
  #product(): number {
    const x = this.#x;
    const importance = this.#importance;
    const codes = this.#codes;
    const grid = this.#grid;
    let product = 0;
    for (let i = 0; i < superblockWeights; i++) {
      const group = Math.floor(i / grid.group);
      const q = grid.magnitudes[codes.points[group]! * grid.group + (i % grid.group)]!;
      const factor = 2 * codes.subscales[Math.floor(i / this.#format.block)]! + 1;
      product += importance[i]! * x[i]! * q * factor;
    }
    return product;
  }
}

/**
 * The superblock scale that gives the largest block scale the largest sub-scale. Below 2^-18 an F16 has less than
 * seven bits: then it is better to leave the upper sub-scales unused.
 */
function representableScale(largest: number): number {
  const scale = largest / (2 * maxSubscale + 1);
  if (scale === 0 || scale >= 2 ** -18) {
    return scale;
  }
  return Math.max(Math.min(2 ** -18, largest / 7), 2 ** -24);
}
