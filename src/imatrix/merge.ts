/** Adding statistics up: those of several files, and those of a file to a new run. */
import { shownName } from "../bytes/address.js";
import { UsageError } from "../errors.js";
import { mergeSketches } from "../text/text-sketch.js";
import { type Imatrix, type ImatrixEntry, mostTokens } from "./imatrix.js";

/**
 * The sum of several imatrices, as llama-imatrix adds `--in-file`: sums and counts add up, and an entry with a
 * single count takes the number of experts of its partner. `chunkSize` counts the chunks of the result and
 * gives the numbers of calls in `.dat` files their size; by default it is that of the first GGUF file.
 *
 * Throws a UsageError if the files are of different models.
 */
export function mergeImatrices(parts: readonly Imatrix[], chunkSize = chunkSizeOf(parts)): Imatrix {
  const entries = new Map<string, ImatrixEntry>();
  for (const part of parts) {
    for (const [name, entry] of countedByTokens(part, chunkSize).entries) {
      const known = entries.get(name);
      if (known === undefined) {
        entries.set(name, { ...entry, sums: entry.sums.slice(), counts: entry.counts.slice() });
      } else {
        entries.set(name, added(part.name, name, known, entry));
      }
    }
  }
  const tokens = [...entries.values()].reduce((most, entry) => Math.max(most, mostTokens(entry)), 0);
  const sketches = parts.flatMap(({ sketch }) => (sketch === undefined ? [] : [sketch]));
  return {
    name: parts.map((part) => part.name).join(" + "),
    format: "gguf",
    entries,
    datasets: parts.flatMap((part) => part.datasets.map(shownName)),
    chunkCount: Math.floor(tokens / chunkSize),
    chunkSize,
    priorWeight: parts.find((part) => part.priorWeight !== undefined)?.priorWeight,
    ...(sketches.length > 0 && { sketch: mergeSketches(sketches) }),
  };
}

/**
 * The same statistics with counts in tokens and raw sums. What `.dat` lost stays lost: it has one count per
 * tensor, and an expert that saw no token looks like any other.
 */
export function countedByTokens(imatrix: Imatrix, chunkSize: number): Imatrix {
  if (imatrix.format === "gguf") {
    return imatrix;
  }
  const entries = new Map(
    [...imatrix.entries].map(([name, { sums, counts }]) => [
      name,
      { sums: sums.map((sum) => sum * chunkSize), counts: counts.map((calls) => calls * chunkSize) },
    ]),
  );
  return { ...imatrix, format: "gguf", entries, chunkSize };
}

function chunkSizeOf(parts: readonly Imatrix[]): number {
  const size = parts.find((part) => part.chunkSize > 0)?.chunkSize;
  if (size !== undefined) {
    return size;
  }
  throw new UsageError(
    `${parts.map((part) => part.name).join(", ")}: .dat files do not say how many tokens their chunks have; give the context they were made with (\`ctx\`).`,
  );
}

function added(file: string, name: string, known: ImatrixEntry, more: ImatrixEntry): ImatrixEntry {
  const matrices = Math.max(known.counts.length, more.counts.length);
  const countsFit = [known, more].every(({ counts }) => counts.length === 1 || counts.length === matrices);
  if (known.sums.length !== more.sums.length || !countsFit) {
    throw new UsageError(
      `${file}: entry "${name}" has ${shapeOf(more)}, the files before it have ${shapeOf(known)}. They are of different models and cannot be merged.`,
      { file, tensor: name },
    );
  }
  return {
    sums: known.sums.map((sum, i) => sum + (more.sums[i] ?? 0)),
    counts: Float64Array.from({ length: matrices }, (_, i) => countAt(known, i) + countAt(more, i)),
    // Of some of the tokens alone they would mislead.
    ...(known.outputs &&
      more.outputs && { outputs: known.outputs.map((sum, i) => sum + (more.outputs?.[i] ?? 0)) }),
  };
}

function shapeOf({ sums, counts }: ImatrixEntry): string {
  return `${sums.length} values in ${counts.length} ${counts.length === 1 ? "matrix" : "matrices"}`;
}

function countAt({ counts }: ImatrixEntry, matrix: number): number {
  return counts[counts.length === 1 ? 0 : matrix] ?? 0;
}
