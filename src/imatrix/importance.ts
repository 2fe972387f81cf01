/** From statistics to the importance of each column, as the encoders use it. */
import { UsageError } from "../errors.js";
import { type Imatrix, type ImatrixEntry, mostTokens } from "./imatrix.js";
import { defaultPriorWeight, shrunkMean } from "./rare-experts.js";

export interface ImportanceShape {
  /** Length of the tensor's row. */
  readonly columns: number;
  /** Matrices of the tensor: its experts, 1 for a dense tensor. */
  readonly experts: number;
  /** Overrides the file's prior, and the default; 0 does exactly what llama-quantize does. */
  readonly priorWeight?: number | undefined;
}

export interface Importance {
  /** Mean squared input per column, one array for each expert; never negative, always finite. */
  readonly experts: readonly Float32Array[];
  /** The entry it was taken from: the tensor's own, or one that sees the same inputs. */
  readonly entry: string;
  /** Experts that saw no token. */
  readonly unseen: readonly number[];
}

/**
 * The importance of a tensor's columns: mean of the squared inputs over the tokens that each expert saw, mixed
 * with the prior. Without prior an expert that saw no token gets 1 everywhere, as in llama-quantize. Gate, up
 * and fused gate-up of the same layer see the same inputs and stand in for one another.
 *
 * Returns undefined if the file knows nothing of the tensor; throws a UsageError if it was made from a model
 * of another shape.
 */
export function importanceOf(
  imatrix: Imatrix,
  tensorName: string,
  options: ImportanceShape,
): Importance | undefined {
  const { columns, experts } = options;
  const found = entryFor(imatrix, tensorName, options);
  if (found === undefined) {
    return undefined;
  }
  const { name, entry } = found;
  const priorWeight = options.priorWeight ?? imatrix.priorWeight ?? defaultPriorWeight;
  const prior = entry.counts.length > 1 && priorWeight > 0 ? averageExpert(entry, columns) : undefined;
  const rows = Array.from({ length: experts }, (_, expert) => {
    const sums = entry.sums.subarray(expert * columns, (expert + 1) * columns);
    const count = entry.counts[entry.counts.length === 1 ? 0 : expert] ?? 0;
    if (prior !== undefined) {
      return shrunkMean(sums, count, prior, priorWeight);
    }
    return plainMean(sums, count, imatrix.format === "dat" ? sums : undefined);
  });
  return { experts: rows, entry: name, unseen: unseenExperts(entry) };
}

/**
 * The entry that says how important a tensor's columns are: its own, or one that sees the same inputs. Throws a
 * UsageError if it is of another shape.
 */
export function entryFor(
  imatrix: Imatrix,
  tensorName: string,
  shape: Pick<ImportanceShape, "columns" | "experts">,
): { readonly name: string; readonly entry: ImatrixEntry } | undefined {
  const name = [tensorName, ...sameInputs(tensorName)].find((candidate) => imatrix.entries.has(candidate));
  const entry = name === undefined ? undefined : imatrix.entries.get(name);
  if (name === undefined || entry === undefined) {
    return undefined;
  }
  checkShape(imatrix, tensorName, name, entry, shape);
  return { name, entry };
}

/**
 * Statistics with the prior mixed in, for a format that cannot hold counts (`.dat`): each expert's counts and
 * sums grow by `weight` tokens of the average expert.
 */
export function withPrior(imatrix: Imatrix, weight: number): Imatrix {
  const entries = new Map(
    [...imatrix.entries].map(([name, entry]) => [name, entryWithPrior(entry, weight)] as const),
  );
  return { ...imatrix, entries };
}

function entryWithPrior(entry: ImatrixEntry, weight: number): ImatrixEntry {
  const { sums, counts } = entry;
  if (counts.length === 1 || weight === 0 || mostTokens(entry) === 0) {
    return entry;
  }
  const columns = sums.length / counts.length;
  const prior = averageExpert(entry, columns);
  return {
    sums: sums.map((sum, i) => sum + weight * (prior[i % columns] ?? 0)),
    counts: counts.map((count) => count + weight),
  };
}

/** Numbers of the experts that saw no token. */
export function unseenExperts(entry: ImatrixEntry): number[] {
  return entry.counts.length === 1 ? [] : [...entry.counts.keys()].filter((i) => entry.counts[i] === 0);
}

/** Names of the tensors that see the same inputs: gate, up and gate_up, routed, shared or dense. */
function sameInputs(tensorName: string): string[] {
  const match = /^(.*\.ffn_)(gate|up|gate_up)((?:_(?:ch)?exps|_shexp)?\.weight)$/.exec(tensorName);
  if (match === null) {
    return [];
  }
  const [, layer, own, rest] = match;
  return ["gate", "up", "gate_up"].filter((part) => part !== own).map((part) => `${layer}${part}${rest}`);
}

function plainMean(sums: Float32Array, count: number, ifNone: Float32Array | undefined): Float32Array {
  if (count > 0) {
    const divisor = Math.fround(count);
    return sums.map((sum) => sum / divisor);
  }
  return ifNone?.slice() ?? new Float32Array(sums.length).fill(1);
}

/** Mean squared input over all tokens of all experts; 1 where no expert saw any. */
function averageExpert(entry: ImatrixEntry, columns: number): Float64Array {
  const tokens = entry.counts.reduce((total, count) => total + count, 0);
  const mean = new Float64Array(columns);
  if (tokens === 0) {
    return mean.fill(1);
  }
  for (let start = 0; start < entry.sums.length; start += columns) {
    for (let column = 0; column < columns; column++) {
      mean[column] = (mean[column] ?? 0) + (entry.sums[start + column] ?? 0);
    }
  }
  return mean.map((sum) => sum / tokens);
}

function checkShape(
  imatrix: Imatrix,
  tensorName: string,
  entryName: string,
  entry: ImatrixEntry,
  { columns, experts }: Pick<ImportanceShape, "columns" | "experts">,
): void {
  const matrices = entry.sums.length / columns;
  const countsFit = entry.counts.length === 1 || entry.counts.length === experts;
  if (matrices === experts && countsFit) {
    return;
  }
  const found =
    entry.counts.length === 1
      ? `${entry.sums.length} values`
      : `${entry.counts.length} experts of ${entry.sums.length / entry.counts.length} columns`;
  const needed = experts === 1 ? `${columns} columns` : `${experts} experts of ${columns} columns`;
  const missing =
    Number.isInteger(matrices) && matrices < experts
      ? ` (${matrices + 1 === experts ? `expert ${matrices} is` : `experts ${matrices} to ${experts - 1} are`} missing)`
      : "";
  throw new UsageError(
    `${imatrix.name}: entry "${entryName}" has ${found}, but tensor "${tensorName}" has ${needed}${missing}. This is the imatrix of another model; compute one from this model with "lopsided imatrix".`,
    { file: imatrix.name, tensor: tensorName },
  );
}
