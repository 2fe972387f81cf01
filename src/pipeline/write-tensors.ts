/**
 * The way of the weights: read a slice, encode it in the pool, write it at its place. Reading, encoding and
 * writing overlap; a window bounds how many slices are in memory at once, whatever the size of the model.
 */
import type { OutputFile } from "../bytes/output.js";
import { CancelledError, MalformedInputError } from "../errors.js";
import type { GgufTensor } from "../gguf/reader.js";
import { rowCount, type SourceTensor, weightCount } from "../model/source.js";
import type { OnProgress } from "../progress.js";
import type { Effort } from "../quants/effort.js";
import type { EncoderPool } from "../quants/pool.js";
import { addStatistics, noStatistics, relativeError, type Statistics } from "../quants/statistics.js";
import type { Transcoded } from "../quants/transcode.js";
import { type Slice, slicesOf } from "./slices.js";

/** One tensor on its way from the source to its place in the output file. */
export interface TensorTask {
  readonly source: SourceTensor;
  readonly target: GgufTensor;
  /** Computes the importance of the columns for each expert; undefined: all columns matter alike. */
  readonly importance?: (() => readonly Float32Array[] | undefined) | undefined;
}

/** What encoding did to a tensor. */
export interface TensorOutcome {
  readonly name: string;
  /** Importance-weighted squared error as a share of the weights' own sum of squares; 0 for copies. */
  readonly relativeError: number;
}

export interface WriteOptions {
  readonly effort: Effort;
  /** Slices read, in work or encoded but not yet written: with their size, this bounds memory. */
  readonly slicesInFlight: number;
  /** What to call the work while it runs. */
  readonly step: string;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface InFlight {
  readonly task: TensorTask;
  readonly slice: Slice;
  readonly transcoded: Promise<Transcoded>;
}

/**
 * Reads, encodes and writes all tensors, in the order given. Weights that are not finite, and encoded rows
 * that vanish, raise a MalformedInputError that names tensor, expert and row.
 */
export async function writeTensors(
  tasks: readonly TensorTask[],
  output: OutputFile,
  pool: EncoderPool,
  options: WriteOptions,
): Promise<TensorOutcome[]> {
  const total = tasks.reduce((sum, { source }) => sum + weightCount(source.shape), 0);
  const sums = new Map<TensorTask, Statistics>(tasks.map((task) => [task, noStatistics]));
  const inFlight: InFlight[] = [];
  let done = 0;

  const finishOldest = async () => {
    const oldest = inFlight.shift();
    if (!oldest) return;
    const { task, slice, transcoded } = oldest;
    const { bytes, statistics } = await transcoded;
    await output.write(placeOf(task.target, slice.firstRow), bytes);
    sums.set(task, addStatistics(sums.get(task) ?? noStatistics, statistics));
    done += slice.rows * columnsOf(task.source);
    options.onProgress?.({ step: options.step, done, total, unit: "weights", detail: task.target.name });
  };

  try {
    for (const task of tasks) {
      const importance = task.importance?.();
      for (const slice of slicesOf(task.source.shape)) {
        if (options.signal?.aborted) throw new CancelledError("stopped; no output file was left.");
        const source = await task.source.readRows(slice.firstRow, slice.rows);
        const transcoded = pool.transcode({
          label: labelOf(task.source, slice),
          firstRow: slice.firstRow - slice.expert * rowsPerMatrix(task.source),
          sourceType: task.source.type,
          targetType: task.target.type,
          columns: columnsOf(task.source),
          source,
          importance: importance?.[slice.expert],
          effort: options.effort,
        });
        transcoded.catch(() => {}); // it is awaited later; until then a failure is not "unhandled"
        inFlight.push({ task, slice, transcoded });
        while (inFlight.length >= options.slicesInFlight) await finishOldest();
      }
    }
    while (inFlight.length > 0) await finishOldest();
  } finally {
    await Promise.allSettled(inFlight.map(({ transcoded }) => transcoded));
  }
  return tasks.map((task) => outcomeOf(task, sums.get(task) ?? noStatistics));
}

function outcomeOf(task: TensorTask, statistics: Statistics): TensorOutcome {
  const { name } = task.target;
  if (statistics.vanishedRows > 0) {
    throw new MalformedInputError(
      `${name}: ${statistics.vanishedRows} rows became all zero as ${task.target.type}, their weights being too small for its scales; keep this tensor in a wider type.`,
      { tensor: name },
    );
  }
  return { name, relativeError: relativeError(statistics) };
}

function columnsOf(tensor: SourceTensor): number {
  return tensor.shape[0] ?? 1;
}

function rowsPerMatrix(tensor: SourceTensor): number {
  return tensor.shape[1] ?? 1;
}

function labelOf(tensor: SourceTensor, { expert }: Slice): string {
  return tensor.shape.length > 2 ? `${tensor.name}, expert ${expert}` : tensor.name;
}

function placeOf(target: GgufTensor, row: number): number {
  return target.offset + (target.byteLength / rowCount(target.shape)) * row;
}
