/** The importance matrix as one quantization run uses it: loaded, filtered, checked against the model. */
import { UsageError } from "../errors.js";
import { rowCount, type SourceTensor } from "../model/source.js";
import { readImatrixFile } from "./file.js";
import type { Imatrix } from "./imatrix.js";
import { type Importance, importanceOf } from "./importance.js";

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

/**
 * Loads the importance matrix that the options name, without the entries they leave out. If nothing is
 * left, there is no importance, as in llama-quantize. Throws a UsageError if it knows none of the model's tensors.
 */
export async function loadImportance(
  options: ImportanceOptions,
  tensors: readonly SourceTensor[],
): Promise<Imatrix | undefined> {
  const { imatrix: path, includeWeights = [], excludeWeights = [] } = options;
  if (includeWeights.length > 0 && excludeWeights.length > 0) {
    throw new UsageError("--include-weights and --exclude-weights contradict each other; use one.");
  }
  if (path === undefined) {
    return undefined;
  }
  const imatrix = await readImatrixFile(path);
  const contains = (name: string, parts: readonly string[]) => parts.some((part) => name.includes(part));
  const kept = [...imatrix.entries].filter(
    ([name]) =>
      (includeWeights.length === 0 || contains(name, includeWeights)) && !contains(name, excludeWeights),
  );
  if (!tensors.some(({ name }) => imatrix.entries.has(name))) {
    const [example] = imatrix.entries.keys();
    throw new UsageError(
      `${path}: has no entry for any tensor of the model (its first is "${example}"); it is the imatrix of another model, or not one.`,
      { file: path },
    );
  }
  return kept.length === 0 ? undefined : { ...imatrix, entries: new Map(kept) };
}

/** The importance of a tensor's columns, or undefined if the matrix does not know the tensor. */
export function importanceFor(
  imatrix: Imatrix,
  { name, shape }: SourceTensor,
  { priorWeight }: ImportanceOptions,
): Importance | undefined {
  const columns = shape[0] ?? 1;
  const experts = rowCount(shape) / (shape[1] ?? 1);
  return importanceOf(imatrix, name, { columns, experts, priorWeight });
}
