/** Choosing one option for each item: what there is to choose from, and what was chosen. */

/** One way to store an item. */
export interface AllocationOption {
  readonly bytes: number;
  /** What it costs the model; finite, at least 0. */
  readonly cost: number;
}

export interface Allocation {
  /** For each item the number of its option. */
  readonly choice: readonly number[];
  readonly bytes: number;
  readonly cost: number;
  /** No allocation within the budget costs less than this. */
  readonly bound: number;
  /** (cost - bound) / cost; 0 if optimal. */
  readonly gap: number;
}

/** The smallest option of each item; nothing is known of what is possible besides. */
export function smallestAllocation(items: readonly (readonly AllocationOption[])[]): Allocation {
  const choice = items.map(smallestOption);
  const cost = choice.reduce((sum, at, item) => sum + (items[item]?.[at]?.cost ?? 0), 0);
  return { choice, bytes: smallestBytes(items), cost, bound: 0, gap: 1 };
}

function smallestOption(options: readonly AllocationOption[]): number {
  return options.reduce((best, { bytes }, at) => (bytes < (options[best]?.bytes ?? 0) ? at : best), 0);
}

/** Bytes of the smallest allocation. */
export function smallestBytes(items: readonly (readonly AllocationOption[])[]): number {
  return items.reduce((sum, options) => sum + Math.min(...options.map(({ bytes }) => bytes)), 0);
}
