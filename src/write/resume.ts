/** How far an unfinished output has come. */
import { crc32 } from "node:zlib";
import type { OutputFile } from "../bytes/output.js";
import { FileSource } from "../bytes/source.js";
import { CancelledError, UsageError } from "../errors.js";
import { weightCount } from "../model/source.js";
import type { OnProgress } from "../progress.js";
import type { SliceRecord } from "./journal.js";
import { type SliceTask, sliceTasks, sliceWeights, type TensorTask } from "./slice-tasks.js";
import { labelOf } from "./slices.js";
import type { Unfinished } from "./unfinished.js";

export interface ResumeOptions {
  /** What to call the output in a message. */
  readonly output: string;
  /** Whether a server names the version of the source, so that its rows need not be compared. */
  readonly isVersioned: boolean;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A slice that is in the output already. */
export interface FinishedSlice {
  readonly task: SliceTask;
  readonly record: SliceRecord;
}

/**
 * The slices that the journal has and whose bytes are in the files, up to the first that is missing or differs.
 * Everything is read again: whatever the disk lost, the output will be whole. The journal goes on after the last.
 */
export async function* findFinishedSlices(
  tasks: readonly TensorTask[],
  unfinished: Unfinished,
  { output, isVersioned, onProgress, signal }: ResumeOptions,
): AsyncGenerator<FinishedSlice> {
  if (!unfinished.resumed) {
    return;
  }
  let [count, done] = [0, 0];
  const total = tasks.reduce((sum, { source }) => sum + weightCount(source.shape), 0);
  const reader = new PartialReader();
  try {
    const slices = sliceTasks(tasks);
    for await (const record of unfinished.journal.records()) {
      const next = slices.next();
      if (signal?.aborted) {
        throw new CancelledError("stopped");
      }
      if (next.done || crc32(await reader.read(next.value)) !== record.crc32) {
        break;
      }
      if (!isVersioned) {
        await checkSource(output, next.value, record);
      }
      count++;
      done += sliceWeights(next.value);
      onProgress?.({ step: "check", done, total, unit: "weights" });
      yield { task: next.value, record };
    }
  } finally {
    await reader.close();
  }
  await unfinished.journal.cutAfter(count);
}

/** Throws a UsageError if a slice was made of other rows than the source has now. */
async function checkSource(output: string, { task, slice }: SliceTask, record: SliceRecord): Promise<void> {
  const { source } = task;
  if (crc32(await source.readRows(slice.firstRow, slice.rows)) === record.sourceCrc32) {
    return;
  }
  throw new UsageError(
    `${output}: its unfinished run was begun with another source (${labelOf(source, slice)} has other weights); repeat the command with that one, or start over with \`restart\`.`,
    { file: output, tensor: source.name, different: "source" },
  );
}

/** Reads back what was written to files that have not got their names yet. */
export class PartialReader {
  readonly #sources = new Map<OutputFile, FileSource>();

  /** A file as a source. */
  async source(file: OutputFile): Promise<FileSource> {
    const open = this.#sources.get(file);
    if (open) {
      return open;
    }
    const source = await FileSource.open(file.partialPath);
    this.#sources.set(file, source);
    return source;
  }

  /** The encoded bytes of a slice. */
  async read({ task, offset, byteLength }: SliceTask): Promise<Uint8Array> {
    return await (await this.source(task.file)).read(offset, byteLength);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sources.values()].map((source) => source.close()));
  }
}
