/** The work of writing: every tensor cut into slices, in the order of the output, and what each is encoded with. */
import type { OutputFile } from "../bytes/output.js";
import type { GgufTensor } from "../gguf/reader.js";
import { rowCount, type SourceTensor } from "../model/source.js";
import type { Effort } from "../quants/effort.js";
import type { InputMoments } from "../quants/output-aware/refine.js";
import { type SharedInput, sharedInput } from "../quants/shared-input.js";
import { addStatistics, noStatistics, type Statistics } from "../quants/statistics.js";
import type { Slice as EncoderSlice } from "../quants/transcode.js";
import { labelOf, type SliceRange, slicesOf } from "./slices.js";

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
}

/** A slice of a tensor and where its encoded bytes lie. */
export interface SliceTask {
  readonly task: TensorTask;
  readonly slice: SliceRange;
  /** In the output file. */
  readonly offset: number;
  readonly byteLength: number;
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

/** Number of weights in a slice. */
export function sliceWeights({ task, slice }: SliceTask): number {
  return slice.rows * columnsOf(task.source);
}

/** Adds a slice's statistics to its tensor's. */
export function addSlice(sums: Map<TensorTask, Statistics>, task: TensorTask, statistics: Statistics): void {
  sums.set(task, addStatistics(sums.get(task) ?? noStatistics, statistics));
}

/**
 * Reads slices with what their encoding depends on. A tensor's importance is computed when its first slice comes,
 * and kept until the next tensor's.
 */
export class SliceReader {
  #task: TensorTask | undefined;
  #importance: readonly SharedInput[] | undefined;

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
    if (task !== this.#task) {
      this.#task = task;
      this.#importance = task.importance?.()?.map(sharedInput);
    }
    return this.#importance;
  }
}

function columnsOf(tensor: SourceTensor): number {
  return tensor.shape[0] ?? 1;
}
