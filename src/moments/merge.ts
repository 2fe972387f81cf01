/** Adding moments up: those of several texts, or of the passes over one. */
import { UsageError } from "../errors.js";
import { addSums } from "../quants/output-aware/pooled-moments.js";
import { MomentsFile, writeMomentsFile } from "./file.js";

/**
 * Writes the sum of several files of the same model; an input may be in some of them only. One matrix is in memory
 * at a time. Throws a UsageError if they do not fit together.
 */
export async function mergeMomentsFiles(paths: readonly string[], output: string): Promise<void> {
  const files: MomentsFile[] = [];
  try {
    for (const path of paths) {
      files.push(await MomentsFile.open(path));
    }
    const names = [...new Set(files.flatMap(({ inputs }) => [...inputs.keys()]))];
    const datasets = [...new Set(files.flatMap((file) => file.datasets))];
    const chunkCount =
      datasets.length === 1 ? (files[0]?.chunkCount ?? 0) : sum(files.map((f) => f.chunkCount));
    const facts = { datasets, chunkCount, chunkSize: files[0]?.chunkSize ?? 0 };
    await writeMomentsFile(
      output,
      facts,
      names.map((name) => contentOf(name, files)),
    );
  } finally {
    for (const file of files) {
      await file.close();
    }
  }
}

function contentOf(name: string, files: readonly MomentsFile[]) {
  const parts = files.filter(({ inputs }) => inputs.has(name));
  const [first] = parts.map(({ inputs }) => inputs.get(name));
  const columns = first?.columns ?? 0;
  const counts = new Float64Array(first?.counts.length ?? 0);
  for (const { name: file, inputs } of parts) {
    const own = inputs.get(name);
    if (own?.columns !== columns || own.counts.length !== counts.length) {
      throw new UsageError(
        `${file}: input "${name}" has ${own?.counts.length} matrices of ${own?.columns} columns, the files before it have ${counts.length} of ${columns}. They are of different models and cannot be merged.`,
        { file, input: name },
      );
    }
    for (const [i, count] of own.counts.entries()) {
      counts[i] = (counts[i] ?? 0) + count;
    }
  }
  return {
    name,
    columns,
    counts,
    async matrix(index: number): Promise<Float32Array> {
      const [head, ...rest] = parts;
      const total = (await head?.matrix(name, index)) ?? new Float32Array();
      for (const part of rest) {
        addSums(total, await part.matrix(name, index));
      }
      return total;
    },
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
