/**
 * Choosing one option for each item so that the costs add up to the least within a budget of bytes: the
 * multiple-choice knapsack, solved to proven optimality (or a stated gap) as a mixed-integer program by HiGHS.
 */
import highsModule, { type Highs } from "highs";
import { InternalError } from "../errors.js";
import { type Allocation, type AllocationOption, smallestBytes } from "./allocation.js";

/** The package's declarations are those of its CommonJS build, where the loader is a property. */
export const loadHighs = highsModule as unknown as typeof highsModule.default;

/** The usual one. */
const defaultGap = 1e-6;

/**
 * Nodes of the search tree after which the best found is taken: unlike a time limit, it gives the same result on
 * every machine. The time limit is for machines that need longer for them.
 */
const mostNodes = 10_000;

/** What all costs together become for the solver, whose tolerances are absolute. */
const scaledCost = 1e4;

/** An option that no other beats in both bytes and cost, with its number in the item. */
interface Candidate extends AllocationOption {
  readonly index: number;
}

export interface AllocateOptions {
  readonly seconds?: number;
  /** Relative distance between cost and bound at which an allocation counts as optimal. */
  readonly optimalGap?: number;
  /** HiGHS, where it is not loaded as from a package. */
  readonly solver?: Promise<Highs>;
}

/**
 * The cheapest allocation within the budget, or undefined if even the smallest does not fit. Every item needs an
 * option. After `seconds` the best found by then is returned with its gap; the search blocks the thread until then.
 */
export async function allocate(
  items: readonly (readonly AllocationOption[])[],
  budget: number,
  { seconds = 30, optimalGap = defaultGap, solver = loadHighs() }: AllocateOptions = {},
): Promise<Allocation | undefined> {
  const candidates = items.map(undominated);
  const room = budget - smallestBytes(items);
  if (room < 0) {
    return undefined;
  }
  const highs = await solver;
  // Sums are exact here and not in the solver: what it finds may be too large by its tolerance.
  for (let tightened = room; tightened >= 0; ) {
    const { chosen, bound } = solve(highs, candidates, tightened, { seconds, optimalGap });
    const bytes = chosen.reduce((sum, option) => sum + option.bytes, 0);
    const excess = bytes - budget;
    if (excess > 0) {
      tightened -= Math.max(excess, unitOf(candidates));
      continue;
    }
    const cost = chosen.reduce((sum, option) => sum + option.cost, 0);
    const gap = cost > 0 ? Math.max(0, (cost - bound) / cost) : 0;
    const isOptimal = gap <= 2 * optimalGap;
    return {
      choice: chosen.map(({ index }) => index),
      bytes,
      cost,
      bound: isOptimal ? cost : bound,
      gap: isOptimal ? 0 : gap,
    };
  }
  throw new InternalError("the solver found no allocation although the smallest one fits.");
}

/** The options that are worth a thought, from small and costly to large and cheap. */
function undominated(options: readonly AllocationOption[]): Candidate[] {
  const sorted = options
    .map((option, index) => ({ ...option, index }))
    .sort((a, b) => a.bytes - b.bytes || a.cost - b.cost || a.index - b.index);
  const kept: Candidate[] = [];
  for (const candidate of sorted) {
    const last = kept.at(-1);
    if (last === undefined || candidate.cost < last.cost) {
      kept.push(candidate);
    }
  }
  return kept;
}

/** What all differences of bytes are multiples of: sizes become small numbers, and sums of them exact. */
function unitOf(candidates: readonly (readonly Candidate[])[]): number {
  let unit = 0;
  for (const [smallest, ...others] of candidates) {
    for (const { bytes } of others) {
      unit = greatestCommonDivisor(unit, bytes - (smallest?.bytes ?? 0));
    }
  }
  return Math.max(1, unit);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** Items with the same options: which of them gets which does not matter. */
interface Group {
  readonly items: readonly number[];
  readonly smallest: Candidate;
  readonly others: readonly Candidate[];
}

function groupsOf(candidates: readonly (readonly Candidate[])[]): Group[] {
  const groups = new Map<string, Group & { readonly items: number[] }>();
  for (const [item, options] of candidates.entries()) {
    const [smallest, ...others] = options;
    if (smallest === undefined) {
      throw new InternalError("an item without options cannot be allocated.");
    }
    const key = JSON.stringify(options.map(({ bytes, cost, index }) => [bytes, cost, index]));
    const group = groups.get(key);
    if (group) {
      group.items.push(item);
    } else {
      groups.set(key, { items: [item], smallest, others });
    }
  }
  return [...groups.values()];
}

/**
 * Each item starts as its smallest option; a variable for each larger one says how many of a group's items are that
 * instead. Row 0: the bytes added stay within the room. Row 1 + g: there are only so many items in group g.
 */
function solve(
  highs: Highs,
  candidates: readonly (readonly Candidate[])[],
  room: number,
  { seconds, optimalGap }: { readonly seconds: number; readonly optimalGap: number },
): { chosen: Candidate[]; bound: number } {
  const groups = groupsOf(candidates);
  const base = candidates.reduce((sum, [smallest]) => sum + (smallest?.cost ?? 0), 0);
  const scale = base > 0 ? scaledCost / base : 1;
  const unit = unitOf(candidates);
  const variables = groups.flatMap((group, row) => group.others.map((option) => ({ group, row, option })));
  const columns = variables.length;
  if (columns === 0) {
    return { chosen: groups.flatMap(({ items, smallest }) => items.map(() => smallest)), bound: base };
  }
  const rows = 1 + groups.length;
  const model = highs.createModel({
    numCols: columns,
    numRows: rows,
    offset: base * scale,
    colCost: variables.map(({ option, group }) => (option.cost - group.smallest.cost) * scale),
    colLower: new Float64Array(columns),
    colUpper: variables.map(({ group }) => group.items.length),
    rowLower: new Float64Array(rows).fill(-highs.infinity),
    rowUpper: [Math.floor(room / unit), ...groups.map(({ items }) => items.length)],
    matrix: {
      format: "csc",
      numRows: rows,
      numCols: columns,
      starts: Int32Array.from({ length: columns + 1 }, (_, column) => 2 * column),
      indices: Int32Array.from(variables.flatMap(({ row }) => [0, 1 + row])),
      values: Float64Array.from(
        variables.flatMap(({ option, group }) => [(option.bytes - group.smallest.bytes) / unit, 1]),
      ),
    },
    integrality: new Int32Array(columns).fill(highs.constants.variableType.integer),
  });
  try {
    model.options.set({
      output_flag: false,
      time_limit: seconds,
      mip_max_nodes: mostNodes,
      mip_rel_gap: optimalGap,
      mip_abs_gap: optimalGap * 1e-3,
    });
    model.run();
    const { colValue } = model.getSolution();
    const chosen = candidates.map(([smallest]) => smallest as Candidate);
    const next = new Map(groups.map((group) => [group, 0]));
    // The largest options go to the first items of a group, so that layers of one type lie together.
    for (const [column, { group, option }] of [...variables.entries()].reverse()) {
      const from = next.get(group) ?? 0;
      const count = Math.round(colValue[column] ?? 0);
      for (const item of group.items.slice(from, from + count)) {
        chosen[item] = option;
      }
      next.set(group, from + count);
    }
    return { chosen, bound: Number(model.info.get("mip_dual_bound")) / scale };
  } finally {
    model.dispose();
  }
}
