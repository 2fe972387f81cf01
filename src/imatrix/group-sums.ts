/** The sum of the statistics of groups of chunks (`text/chunk-groups.ts`), added in the order of the text. */
import { MalformedInputError } from "../errors.js";
import type { ImatrixEntry } from "./imatrix.js";

export class GroupSums {
  readonly entries: Map<string, ImatrixEntry>;

  /** `before` is added to: the sum of an interrupted run. */
  constructor(before: ReadonlyMap<string, ImatrixEntry> = new Map()) {
    this.entries = new Map(before);
  }

  /**
   * Adds the statistics of the group that comes next, which belong to the sum from then on. Sums are rounded to float32
   * after each group. Throws a MalformedInputError if they are of other shapes than those before.
   */
  add(group: ReadonlyMap<string, ImatrixEntry>): void {
    for (const [name, entry] of group) {
      const sum = this.entries.get(name);
      if (sum === undefined) {
        this.entries.set(name, entry);
        continue;
      }
      const { sums, counts, outputs } = entry;
      if (sum.sums.length !== sums.length || sum.counts.length !== counts.length) {
        throw new MalformedInputError(
          `"${name}" had ${sum.sums.length} sums before, and has ${sums.length} now.`,
          { tensor: name },
        );
      }
      addTo(sum.sums, sums);
      addTo(sum.counts, counts);
      if (sum.outputs && outputs) {
        addTo(sum.outputs, outputs);
      }
    }
  }
}

function addTo<Values extends Float32Array | Float64Array>(sum: Values, more: Values): void {
  for (let i = 0; i < sum.length; i++) {
    sum[i] = (sum[i] ?? 0) + (more[i] ?? 0);
  }
}

/**
 * Throws a MalformedInputError if a sum is infinite or NaN. Once it is, it stays so: it suffices to look before
 * the sums are used.
 */
export function checkFiniteSums(entries: ReadonlyMap<string, ImatrixEntry>, model: string): void {
  for (const [name, { sums, counts }] of entries) {
    const bad = sums.findIndex((sum) => !Number.isFinite(sum));
    if (bad < 0) {
      continue;
    }
    const expert = counts.length > 1 ? ` of expert ${Math.floor((bad * counts.length) / sums.length)}` : "";
    throw new MalformedInputError(
      `${model}: the inputs of "${name}"${expert} are not finite numbers. The model's weights are damaged, or its activations overflow: check the file, or calibrate with a higher precision.`,
      { file: model, tensor: name },
    );
  }
}
