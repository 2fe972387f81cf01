/**
 * All budgets at once, nearly: the best allocations if tensors could be split between types. Each item goes through
 * the lower convex hull of its options, from small and costly to large and cheap; the steps of all items, steepest
 * first, are the frontier. Between two of its points lies what `allocate` finds besides.
 */
import type { AllocationOption } from "./allocation.js";

/** An allocation on the frontier, or the last point of it that a budget holds. */
export interface FrontierPoint {
  readonly bytes: number;
  readonly cost: number;
}

interface Step {
  readonly item: number;
  /** Number of the option that the item has from here on. */
  readonly option: number;
  readonly bytes: number;
  readonly saved: number;
}

export class Frontier {
  /** From the smallest allocation to the one of least cost. */
  readonly points: readonly FrontierPoint[];
  readonly #smallest: readonly number[];
  readonly #steps: readonly Step[];

  constructor(items: readonly (readonly AllocationOption[])[]) {
    const hulls = items.map(lowerHull);
    this.#smallest = hulls.map(([first]) => first?.index ?? 0);
    this.#steps = hulls
      .flatMap(stepsOf)
      // Of equally good steps those of earlier items first, so that layers of one type lie together.
      .sort((a, b) => b.saved / b.bytes - a.saved / a.bytes || a.item - b.item);
    const points: FrontierPoint[] = [sumOf(hulls.map(([first]) => first))];
    for (const { bytes, saved } of this.#steps) {
      const last = points.at(-1) ?? { bytes: 0, cost: 0 };
      points.push({ bytes: last.bytes + bytes, cost: Math.max(0, last.cost - saved) });
    }
    this.points = points;
  }

  /** The last point within a budget, and each item's option there; undefined if even the first is too large. */
  within(bytes: number): (FrontierPoint & { readonly choice: number[] }) | undefined {
    let [low, high] = [-1, this.points.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.points[middle]?.bytes ?? Infinity) <= bytes) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    const point = this.points[low];
    return point && { ...point, choice: this.#choiceAt(low) };
  }

  #choiceAt(steps: number): number[] {
    const choice = [...this.#smallest];
    for (const { item, option } of this.#steps.slice(0, steps)) {
      choice[item] = option;
    }
    return choice;
  }
}

type IndexedOption = AllocationOption & { readonly index: number };

/** The options that are best for some price of a byte, from small to large. */
function lowerHull(options: readonly AllocationOption[]): IndexedOption[] {
  const sorted = options
    .map(({ bytes, cost }, index) => ({ bytes, cost, index }))
    .sort((a, b) => a.bytes - b.bytes || a.cost - b.cost);
  const hull: IndexedOption[] = [];
  for (const option of sorted) {
    const last = hull.at(-1);
    if (last !== undefined && option.cost >= last.cost) {
      continue;
    }
    while (isAbove(hull.at(-2), hull.at(-1), option)) {
      hull.pop();
    }
    hull.push(option);
  }
  return hull;
}

/** Whether the middle one lies on or above the line between the others. */
function isAbove(
  first: AllocationOption | undefined,
  middle: AllocationOption | undefined,
  last: AllocationOption,
): boolean {
  if (first === undefined || middle === undefined) {
    return false;
  }
  return (
    (first.cost - middle.cost) * (last.bytes - first.bytes) <=
    (first.cost - last.cost) * (middle.bytes - first.bytes)
  );
}

function stepsOf(hull: readonly IndexedOption[], item: number): Step[] {
  return hull.slice(1).map((option, i) => {
    const before = hull[i] ?? option;
    return {
      item,
      option: option.index,
      bytes: option.bytes - before.bytes,
      saved: before.cost - option.cost,
    };
  });
}

function sumOf(options: readonly (AllocationOption | undefined)[]): FrontierPoint {
  return options.reduce<FrontierPoint>(
    (sum, option) => ({
      bytes: sum.bytes + (option?.bytes ?? 0),
      cost: sum.cost + (option?.cost ?? 0),
    }),
    { bytes: 0, cost: 0 },
  );
}
