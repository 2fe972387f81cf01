/**
 * Exact search for the point of a grid that is nearest to a group of weights, each with its own importance.
 *
 * The cost of a point is a sum over its weights, so it splits into the two halves of the group. Few different
 * half patterns exist (81 of four weights with 3 levels, 64 of two weights with 8): two tables hold the costs of
 * all of them, and a first half whose cost plus the least cost of any second half is no better than the best
 * point so far needs no further look. About 90 % of the grid is skipped that way.
 */
import { type GridName, gridShapes } from "./grid-shapes.js";
import { gridLevelNumbers } from "./grids.js";

/** A grid with the tables that the search needs. */
export interface Grid {
  /** Weights in a group. */
  readonly group: number;
  /** Magnitudes in units of the smallest: 1, ... */
  readonly levels: Float64Array;
  /** Half way between neighbouring levels: magnitudes above `bounds[l]` are nearer to level l + 1 than to l. */
  readonly bounds: Float64Array;
  /** Magnitudes of each point, point by point. */
  readonly magnitudes: Float64Array;
  /** Number of patterns of half a group. */
  readonly patterns: number;
  /** Point with the first and second half pattern, at `patterns * first + second`; -1 if not on the grid. */
  readonly pointOf: Int16Array;
  /** Points with first half `f` are the entries `starts[f]` to `starts[f + 1]` of `seconds` and `points`. */
  readonly starts: Uint16Array;
  readonly seconds: Uint8Array;
  readonly points: Uint16Array;
}

/** Builds the tables of a grid, its magnitudes in units of the smallest. */
export function buildGrid(name: GridName): Grid {
  const { levels } = gridShapes[name];
  return gridWithLevels(
    name,
    levels.map((level) => level / levels[0]),
  );
}

/**
 * The tables of a grid whose level numbers stand for these levels, ascending. A half pattern is its level numbers as
 * digits, the first weight's the highest.
 */
export function gridWithLevels(name: GridName, values: readonly number[]): Grid {
  const shape = gridShapes[name];
  const numbers = gridLevelNumbers(name);
  const levels = Float64Array.from(values);
  const half = shape.group / 2;
  const patterns = levels.length ** half;
  const pointOf = new Int16Array(patterns * patterns).fill(-1);
  for (let point = 0; point < shape.points; point++) {
    let pattern = 0;
    for (let i = 0; i < shape.group; i++) {
      pattern = pattern * levels.length + numbers[point * shape.group + i]!;
    }
    pointOf[pattern] = point;
  }
  const starts = new Uint16Array(patterns + 1);
  const seconds = new Uint8Array(shape.points);
  const points = new Uint16Array(shape.points);
  let count = 0;
  for (let pattern = 0; pattern < pointOf.length; pattern++) {
    if (pointOf[pattern]! < 0) {
      continue;
    }
    seconds[count] = pattern % patterns;
    points[count++] = pointOf[pattern]!;
    starts[Math.floor(pattern / patterns) + 1] = count;
  }
  for (let first = 1; first <= patterns; first++) {
    starts[first] = Math.max(starts[first]!, starts[first - 1]!);
  }
  return {
    group: shape.group,
    levels,
    bounds: levels.slice(1).map((level, i) => (level + levels[i]!) / 2),
    magnitudes: Float64Array.from(numbers, (number) => levels[number]!),
    patterns,
    pointOf,
    starts,
    seconds,
    points,
  };
}

/** Number of the level nearest to a magnitude in units of the first level. */
export function nearestLevel(bounds: Float64Array, magnitude: number): number {
  let level = 0;
  while (level < bounds.length && magnitude > bounds[level]!) {
    level++;
  }
  return level;
}

/** What a search found. */
export interface Nearest {
  point: number;
  /** Sum of weight scale q (scale q - 2 x): the squared error less that of q = 0. */
  cost: number;
  /** The same for the nearest levels, grid or not: no point costs less. */
  least: number;
}

const levelCosts = new Float64Array(32);
const firstCosts = new Float64Array(81);
const secondCosts = new Float64Array(81);

/**
 * Finds the point q of the grid with the least sum of weight (scale q - x)^2 over a group.
 * @param x magnitudes (negative where the sign bit is wrong on purpose); the group starts at `at`
 * @param weights importance of each
 */
export function findNearest(
  grid: Grid,
  x: Float64Array,
  weights: Float64Array,
  at: number,
  scale: number,
  nearest: Nearest,
): void {
  const { group, levels, bounds, patterns, starts, seconds } = grid;
  let pattern = 0;
  let cost = 0;
  for (let i = at; i < at + group; i++) {
    const level = nearestLevel(bounds, x[i]! / scale);
    pattern = pattern * levels.length + level;
    const q = scale * levels[level]!;
    cost += weights[i]! * q * (q - 2 * x[i]!);
  }
  nearest.point = grid.pointOf[pattern]!;
  nearest.cost = cost;
  nearest.least = cost;
  if (nearest.point >= 0) {
    return;
  }

  for (let i = at, k = 0; i < at + group; i++) {
    for (let level = 0; level < levels.length; level++) {
      const q = scale * levels[level]!;
      levelCosts[k++] = weights[i]! * q * (q - 2 * x[i]!);
    }
  }
  const nextHalf = (group / 2) * levels.length;
  patternCosts(levels.length, 0, nextHalf, firstCosts);
  patternCosts(levels.length, nextHalf, 2 * nextHalf, secondCosts);

  const leastSecond = secondCosts[pattern % patterns]!;
  let best = Infinity;
  let bestAt = 0;
  // The first half that would be best alone comes first: it makes the bound tight from the start.
  for (let first = Math.floor(pattern / patterns), next = 0; next <= patterns; first = next++) {
    const firstCost = firstCosts[first]!;
    if (firstCost + leastSecond >= best) {
      continue;
    }
    for (let k = starts[first]!; k < starts[first + 1]!; k++) {
      const total = firstCost + secondCosts[seconds[k]!]!;
      if (total < best) {
        best = total;
        bestAt = k;
      }
    }
  }
  nearest.point = grid.points[bestAt]!;
  nearest.cost = best;
}

/** Costs of all patterns of the weights whose level costs are `levelCosts[from]` to `levelCosts[to]`. */
function patternCosts(levels: number, from: number, to: number, out: Float64Array): void {
  let count = 1;
  out[0] = 0;
  for (let weight = from; weight < to; weight += levels) {
    // Each pattern grows by one digit; backwards, so that none is overwritten before it is read.
    for (let pattern = count - 1; pattern >= 0; pattern--) {
      const cost = out[pattern]!;
      for (let level = levels - 1; level >= 0; level--) {
        out[pattern * levels + level] = cost + levelCosts[weight + level]!;
      }
    }
    count *= levels;
  }
}
