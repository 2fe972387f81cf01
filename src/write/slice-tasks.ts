/** The work of writing: every tensor cut into slices, in the order of the work, and what each is encoded with. */
import type { OutputFile } from "../bytes/output.js";
import type { GgufTensor } from "../gguf/reader.js";
import { layerOf, roleOf } from "../model/roles.js";
import { rowCount, type SourceTensor } from "../model/source.js";
import type { Effort } from "../quants/effort.js";
import type { InputMoments } from "../quants/output-aware/refine.js";
import { type SharedInput, sharedInput } from "../quants/shared-input.js";
import { addStatistics, noStatistics, type Statistics } from "../quants/statistics.js";
import type { Slice as EncoderSlice } from "../quants/transcode.js";
import { labelOf, type SliceRange, slicesOf } from "./slices.js";
import type { EncodingGroup } from "./tensor-groups.js";

/** One tensor on its way from the source to its place in an output file. */
export interface TensorTask {
  /** What the model is called that the source is of. */
  readonly model: string;
  readonly source: SourceTensor;
  readonly target: GgufTensor;
  readonly file: OutputFile;
  /** Computes the importance of the columns for each expert; undefined: all columns matter alike. */
  readonly importance?: (() => readonly Float32Array[] | undefined) | undefined;
  /** Reads the second moments of an expert's input, for output-aware encoding. */
  readonly moments?: ((expert: number) => Promise<InputMoments | undefined>) | undefined;
  readonly group?: EncodingGroup | undefined;
  /** The source is read best in the order of its files: the checksum of what a server sends is made as it comes. */
  readonly isReadInOrder?: boolean;
}

/** A slice of a tensor and where its encoded bytes lie. */
export interface SliceTask {
  readonly task: TensorTask;
  /** The tensor and those whose slices come by turns with its own. */
  readonly together: readonly TensorTask[];
  readonly slice: SliceRange;
  /** In the output file. */
  readonly offset: number;
  readonly byteLength: number;
}

/**
 * All slices of all tensors: in the order of the plan, but tensors with the same moments by turns, so that what is made
 * ready for a slice of one serves the other's.
 */
export function* sliceTasks(tasks: readonly TensorTask[]): Generator<SliceTask> {
  for (const together of groupsOf(tasks)) {
    for (const slice of slicesOf(together[0].target.shape)) {
      for (const task of together) {
        const { offset, byteLength, shape } = task.target;
        const bytesPerRow = byteLength / rowCount(shape);
        const start = offset + slice.firstRow * bytesPerRow;
        yield { task, together, slice, offset: start, byteLength: slice.rows * bytesPerRow };
      }
    }
  }
}

/**
 * Tensors in groups of one, or of two of one shape: gate and up of a layer's experts, if they have moments and may be
 * read in any order.
 */
function groupsOf(tasks: readonly TensorTask[]): [TensorTask, ...TensorTask[]][] {
  const groups = new Map<string, [TensorTask, ...TensorTask[]]>();
  for (const [index, task] of tasks.entries()) {
    const { name, shape } = task.source;
    const mayBePart = task.moments !== undefined && !task.isReadInOrder;
    const isPart = mayBePart && ["routed.gate", "routed.up"].includes(roleOf(name));
    const key = isPart ? `${layerOf(name)} ${shape}` : `tensor ${index}`;
    const group = groups.get(key);
    if (group) {
      group.push(task);
    } else {
      groups.set(key, [task]);
    }
  }
  return [...groups.values()];
}

/**
 * Most slices of a batch. More share what is made ready for them, but wait for each other in memory and on one thread.
 */
export const mostInBatch = 4;

/** Slices that are encoded together, in order: several if they have the same moments, to be made ready once. */
export type SliceBatch = readonly [SliceTask, ...SliceTask[]];

/** Consecutive slices as batches. */
export function* inBatches(slices: Iterable<SliceTask>): Generator<SliceBatch> {
  let batch: [SliceTask, ...SliceTask[]] | undefined;
  for (const slice of slices) {
    if (batch && batch.length < mostInBatch && haveSameMoments(batch[0], slice)) {
      batch.push(slice);
      continue;
    }
    if (batch) {
      yield batch;
    }
    batch = [slice];
  }
  if (batch) {
    yield batch;
  }
}

function haveSameMoments(a: SliceTask, b: SliceTask): boolean {
  return a.task.moments !== undefined && a.together === b.together && a.slice.expert === b.slice.expert;
}

/** Number of weights in a slice. */
export function sliceWeights({ task, slice }: SliceTask): number {
  return slice.rows * columnsOf(task.source);
}

/** Adds a slice's statistics to its tensor's. */
export function addSlice(sums: Map<TensorTask, Statistics>, task: TensorTask, statistics: Statistics): void {
  sums.set(task, addStatistics(sums.get(task) ?? noStatistics, statistics));
}

/** Tensors whose slices come by turns. */
const mostTogether = 2;

/**
 * Reads slices with what their encoding depends on. A tensor's importance is computed when its first slice comes,
 * and kept until those of the tensors after it.
 */
export class SliceReader {
  readonly #importance = new Map<TensorTask, readonly SharedInput[] | undefined>();

  /** A slice as encoders take it; without the moments it can be compared, not encoded. */
  async read(
    { task, slice }: SliceTask,
    effort: Effort,
    options: { readonly withMoments: boolean },
  ): Promise<EncoderSlice> {
    const { source, target } = task;
    const importance = this.#importanceOf(task)?.[slice.expert];
    return {
      label: labelOf(source, slice),
      firstRow: slice.firstRow - slice.expert * (source.shape[1] ?? 1),
      sourceType: source.type,
      targetType: target.type,
      columns: columnsOf(source),
      source: await source.readRows(slice.firstRow, slice.rows),
      importance,
      effort,
      moments: options.withMoments ? await task.moments?.(slice.expert) : undefined,
      origin: {
        model: task.model,
        tensor: source.name,
        shape: source.shape,
        firstRow: slice.firstRow,
        rows: slice.rows,
      },
    };
  }

  #importanceOf(task: TensorTask): readonly SharedInput[] | undefined {
    if (!this.#importance.has(task)) {
      const [first] = this.#importance.keys();
      if (first && this.#importance.size === mostTogether) {
        this.#importance.delete(first);
      }
      this.#importance.set(task, task.importance?.()?.map(sharedInput));
    }
    return this.#importance.get(task);
  }
}

function columnsOf(tensor: SourceTensor): number {
  return tensor.shape[0] ?? 1;
}
