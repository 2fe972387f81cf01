/** The importance matrix as one quantization run uses it: loaded, filtered, checked against the model. */
import { UsageError } from "../errors.js";
import { roleOf } from "../model/roles.js";
import { rowCount, type SourceTensor } from "../model/source.js";
import { withBorrowed } from "./borrowed.js";
import { readImatrixFile } from "./file.js";
import type { Imatrix } from "./imatrix.js";
import { entryFor, type Importance, importanceOf } from "./importance.js";

export interface ImportanceOptions {
  /** Path of an importance matrix, GGUF or `.dat`. */
  readonly imatrix?: string | undefined;
  /** Shrinkage prior for rarely routed experts, in tokens; see `importanceOf`. */
  readonly priorWeight?: number | undefined;
  /** Use only importance entries whose name contains one of these. */
  readonly includeWeights?: readonly string[] | undefined;
  /** Use no importance entries whose name contains one of these. */
  readonly excludeWeights?: readonly string[] | undefined;
}

interface Warnings {
  readonly onWarning?: ((warning: string) => void) | undefined;
}

/**
 * Loads the importance matrix that the options name, as `checkedImportance` makes it usable. Errors: see there, and a
 * MalformedInputError.
 */
export async function loadImportance(
  options: ImportanceOptions & Warnings,
  tensors: readonly SourceTensor[],
): Promise<Imatrix | undefined> {
  const { imatrix: path } = options;
  checkImportanceOptions(options);
  return path === undefined ? undefined : checkedImportance(await readImatrixFile(path), options, tensors);
}

function checkImportanceOptions({ includeWeights = [], excludeWeights = [] }: ImportanceOptions): void {
  if (includeWeights.length > 0 && excludeWeights.length > 0) {
    throw new UsageError("`includeWeights` and `excludeWeights` contradict each other; use one.");
  }
}

/**
 * An importance matrix as it is used: without the entries that the options leave out; layers of multi-token prediction
 * borrow what they lack.
 */
export function usedImportance(
  imatrix: Imatrix,
  { includeWeights = [], excludeWeights = [] }: ImportanceOptions,
  tensors: readonly SourceTensor[],
): Imatrix {
  const contains = (name: string, parts: readonly string[]) => parts.some((part) => name.includes(part));
  const kept = [...imatrix.entries].filter(
    ([name]) =>
      (includeWeights.length === 0 || contains(name, includeWeights)) && !contains(name, excludeWeights),
  );
  return { ...imatrix, entries: withBorrowed(new Map(kept), tensors) };
}

/**
 * The importance matrix of a model as it is used. If nothing is left, there is no importance, as in llama-quantize.
 * Throws a UsageError if it knows none of the model's tensors, has entries of another shape, or lacks most of the
 * routed experts; some of them are warned of.
 */
export function checkedImportance(
  imatrix: Imatrix,
  options: ImportanceOptions & Warnings,
  tensors: readonly SourceTensor[],
): Imatrix | undefined {
  checkImportanceOptions(options);
  const { includeWeights = [], excludeWeights = [] } = options;
  if (!tensors.some(({ name }) => imatrix.entries.has(name))) {
    const [example] = imatrix.entries.keys();
    throw new UsageError(
      `${imatrix.name}: has no entry for any tensor of the model (its first is "${example}"); it is the imatrix of another model, or not one.`,
      { file: imatrix.name },
    );
  }
  const used = usedImportance(imatrix, options, tensors);
  if (includeWeights.length === 0 && excludeWeights.length === 0) {
    checkRouted(used, tensors, options.onWarning);
  }
  return used.entries.size === 0 ? undefined : used;
}

/** Names of the routed experts' tensors that the matrix knows nothing of. Throws if an entry is of another shape. */
export function routedWithoutImportance(imatrix: Imatrix, tensors: readonly SourceTensor[]): string[] {
  return tensors
    .filter((tensor) => entryFor(imatrix, tensor.name, matricesOf(tensor)) === undefined)
    .filter(isRouted)
    .map(({ name }) => name);
}

/** Old `.dat` files lack tensors of which an expert saw no token: at low bits that costs much, and looks like nothing. */
function checkRouted(
  imatrix: Imatrix,
  tensors: readonly SourceTensor[],
  onWarning: ((warning: string) => void) | undefined,
): void {
  const missing = routedWithoutImportance(imatrix, tensors);
  if (missing.length === 0) {
    return;
  }
  const total = tensors.filter(isRouted).length;
  const list = missing.slice(0, 5).join(", ") + (missing.length > 5 ? ", ..." : "");
  const problem = `${imatrix.name}: has nothing about ${missing.length} of the ${total} tensors of routed experts (${list})`;
  const advice = 'compute one from this model with "lopsided imatrix", on more text';
  if (2 * missing.length > total) {
    throw new UsageError(`${problem}; ${advice}.`, { file: imatrix.name, missing: missing.length });
  }
  onWarning?.(
    `${problem}; they are encoded as if all columns mattered alike, which costs much at low bits: ${advice}.`,
  );
}

function isRouted({ name }: SourceTensor): boolean {
  return roleOf(name).startsWith("routed.");
}

function matricesOf({ shape }: SourceTensor) {
  return { columns: shape[0] ?? 1, experts: rowCount(shape) / (shape[1] ?? 1) };
}

/** The importance of a tensor's columns, or undefined if the matrix does not know the tensor. */
export function importanceFor(
  imatrix: Imatrix,
  tensor: SourceTensor,
  { priorWeight }: ImportanceOptions,
): Importance | undefined {
  return importanceOf(imatrix, tensor.name, { ...matricesOf(tensor), priorWeight });
}
