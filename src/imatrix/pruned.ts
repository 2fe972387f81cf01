/** Statistics of a model as those of the same model without some of its experts. */
import type { KeptExperts } from "../model/pruned-experts.js";
import { layerOf } from "../model/roles.js";
import type { Imatrix, ImatrixEntry } from "./imatrix.js";

/** An importance matrix for the model with these experts alone; what has one matrix stays as it is. */
export function prunedImatrix(imatrix: Imatrix, kept: KeptExperts): Imatrix {
  const entries = [...imatrix.entries].map(([name, entry]): [string, ImatrixEntry] => {
    const experts = kept.get(layerOf(name) ?? -1);
    return [name, experts && /_exps\.weight$/.test(name) ? prunedEntry(entry, experts) : entry];
  });
  return { ...imatrix, entries: new Map(entries) };
}

function prunedEntry({ sums, counts, outputs }: ImatrixEntry, experts: readonly number[]): ImatrixEntry {
  const columns = sums.length / counts.length;
  const pruned = new Float32Array(experts.length * columns);
  for (const [i, expert] of experts.entries()) {
    pruned.set(sums.subarray(expert * columns, (expert + 1) * columns), i * columns);
  }
  return {
    sums: pruned,
    counts: Float64Array.from(experts, (expert) => counts[expert] ?? 0),
    ...(outputs && { outputs: Float32Array.from(experts, (expert) => outputs[expert] ?? 0) }),
  };
}
