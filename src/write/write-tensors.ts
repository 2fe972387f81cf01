/**
 * The way of the weights: read a slice, encode it in the pool, write it at its place. Reading, encoding and
 * writing overlap; a window bounds how many slices are in memory at once, whatever the size of the model.
 * Slices are written in the order of the plan, so how far an output has come is one number.
 */
import { crc32 } from "node:zlib";
import { inOrder } from "../bytes/bounded-pipeline.js";
import type { OutputFile } from "../bytes/output.js";
import type { GgufTensor } from "../gguf/reader.js";
import { rowCount, type SourceTensor, weightCount } from "../model/source.js";
import type { OnProgress } from "../progress.js";
import type { Effort } from "../quants/effort.js";
import type { InputMoments } from "../quants/output-aware/refine.js";
import type { EncoderPool } from "../quants/pool.js";
import { addStatistics, noStatistics, type Statistics } from "../quants/statistics.js";
import type { Slice as PoolSlice, Transcoded } from "../quants/transcode.js";
import type { SliceRecord } from "./journal.js";
import { labelOf, type Slice, slicesOf } from "./slices.js";

/** One tensor on its way from the source to its place in an output file. */
export interface TensorTask {
  readonly source: SourceTensor;
  readonly target: GgufTensor;
  readonly file: OutputFile;
  /** Computes the importance of the columns for each expert; undefined: all columns matter alike. */
  readonly importance?: (() => readonly Float32Array[] | undefined) | undefined;
  /** Reads the second moments of an expert's input, for output-aware encoding. */
  readonly moments?: ((expert: number) => Promise<InputMoments | undefined>) | undefined;
}

/** A slice of a tensor and where its encoded bytes lie. */
export interface SliceTask {
  readonly task: TensorTask;
  readonly slice: Slice;
  /** In the output file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface WriteOptions {
  readonly effort: Effort;
  /** Slices read, in work or encoded but not yet written: with their size, this bounds memory. */
  readonly slicesInFlight: number;
  /** What to call the work while it runs. */
  readonly step: string;
  /** Slices that are in the output already, and what they added up to. */
  readonly done: FinishedSlices;
  /** Called for every slice in turn, once it is written. */
  readonly onSlice: (file: OutputFile, record: SliceRecord) => Promise<void>;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How far an output has come. */
export interface FinishedSlices {
  readonly slices: number;
  readonly weights: number;
  /** What encoding did to each tensor so far. */
  readonly sums: Map<TensorTask, Statistics>;
}

/** All slices of all tensors, in the order of the plan. */
export function* sliceTasks(tasks: readonly TensorTask[]): Generator<SliceTask> {
  for (const task of tasks) {
    const { offset, byteLength, shape } = task.target;
    const bytesPerRow = byteLength / rowCount(shape);
    for (const slice of slicesOf(shape)) {
      const start = offset + slice.firstRow * bytesPerRow;
      yield { task, slice, offset: start, byteLength: slice.rows * bytesPerRow };
    }
  }
}

/** What the pool needs to know of a slice. */
export async function poolSlice(
  { task, slice }: SliceTask,
  importance: readonly Float32Array[] | undefined,
  effort: Effort,
  moments?: InputMoments | undefined,
): Promise<PoolSlice> {
  const { source, target } = task;
  return {
    label: labelOf(source, slice),
    firstRow: slice.firstRow - slice.expert * (source.shape[1] ?? 1),
    sourceType: source.type,
    targetType: target.type,
    columns: columnsOf(source),
    source: await source.readRows(slice.firstRow, slice.rows),
    importance: importance?.[slice.expert],
    effort,
    moments,
  };
}

/** Number of weights in a slice. */
export function sliceWeights({ task, slice }: SliceTask): number {
  return slice.rows * columnsOf(task.source);
}

/** Adds a slice's statistics to its tensor's. */
export function addSlice(sums: Map<TensorTask, Statistics>, task: TensorTask, statistics: Statistics): void {
  sums.set(task, addStatistics(sums.get(task) ?? noStatistics, statistics));
}

/**
 * Reads, encodes and writes all slices that are not done, and returns what encoding did to each tensor. Weights
 * that are not finite raise a MalformedInputError that names tensor, expert and row.
 */
export async function writeTensors(
  tasks: readonly TensorTask[],
  pool: EncoderPool,
  options: WriteOptions,
): Promise<Map<TensorTask, Statistics>> {
  const total = tasks.reduce((sum, { source }) => sum + weightCount(source.shape), 0);
  const { sums, slices } = options.done;
  const importance = new LatestImportance();
  let weights = options.done.weights;

  const encode = async (sliceTask: SliceTask) => {
    const ofExperts = importance.of(sliceTask.task);
    const moments = await sliceTask.task.moments?.(sliceTask.slice.expert);
    return await pool.transcode(await poolSlice(sliceTask, ofExperts, options.effort, moments));
  };
  const write = async (sliceTask: SliceTask, { bytes, statistics }: Transcoded) => {
    const { task, offset } = sliceTask;
    await task.file.write(offset, bytes);
    await options.onSlice(task.file, { crc32: crc32(bytes), statistics });
    addSlice(sums, task, statistics);
    weights += sliceWeights(sliceTask);
    const detail = task.target.name;
    options.onProgress?.({ step: options.step, done: weights, total, unit: "weights", detail });
  };
  const rest = skip(sliceTasks(tasks), slices);
  await inOrder(rest, { limit: options.slicesInFlight, signal: options.signal }, encode, write);
  return sums;
}

function* skip<T>(items: Iterable<T>, count: number): Generator<T> {
  let index = 0;
  for (const item of items) {
    if (index++ >= count) {
      yield item;
    }
  }
}

/** Computes a tensor's importance when its first slice comes, and keeps it until the next tensor's. */
export class LatestImportance {
  #task: TensorTask | undefined;
  #importance: readonly Float32Array[] | undefined;

  of(task: TensorTask): readonly Float32Array[] | undefined {
    if (task !== this.#task) {
      this.#task = task;
      this.#importance = task.importance?.();
    }
    return this.#importance;
  }
}

function columnsOf(tensor: SourceTensor): number {
  return tensor.shape[0] ?? 1;
}
