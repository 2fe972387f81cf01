/**
 * Checks an output before it gets its name: the headers are parsed back, and a sample of slices is read from the
 * disk, decoded and compared with the source. The comparison must come to exactly what the encoder reported.
 */
import { isDeepStrictEqual } from "node:util";
import { crc32 } from "node:zlib";
import { inOrder } from "../bytes/bounded-pipeline.js";
import { EnvironmentError, InternalError } from "../errors.js";
import { readGgufHeader } from "../gguf/reader.js";
import type { OnProgress } from "../progress.js";
import type { Transcoder } from "../quants/transcoder.js";
import type { Journal, SliceRecord } from "./journal.js";
import type { PlannedFile } from "./output-plan.js";
import type { PartialReader } from "./resume.js";
import { SliceReader, type SliceTask, sliceTasks, type TensorTask } from "./slice-tasks.js";
import { isSampled, labelOf } from "./slices.js";

export interface VerifyOutputOptions {
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Sample extends SliceTask {
  /** Number of its tensor. */
  readonly tensor: number;
  readonly record: SliceRecord;
}

/**
 * Throws an EnvironmentError if the disk gives back other bytes than were written, an InternalError if they mean
 * other weights than they should.
 */
export async function verifySlices(
  tasks: readonly TensorTask[],
  journal: Journal,
  written: PartialReader,
  encoders: Transcoder,
  { onProgress, signal }: VerifyOutputOptions,
): Promise<void> {
  const reader = new SliceReader();
  const total = tasks.length;
  let done = 0;
  const begin = async (sample: Sample) => {
    const encoded = await written.read(sample);
    if (crc32(encoded) !== sample.record.crc32) {
      throw otherBytes(sample);
    }
    const slice = await reader.read(sample, "default", { withMoments: false });
    if (slice.sourceType === slice.targetType) {
      if (Buffer.compare(slice.source, encoded) !== 0) {
        throw otherWeights(sample);
      }
      return sample.record.statistics;
    }
    return (await encoders.transcode({ ...slice, encoded })).statistics;
  };
  const limit = encoders.slicesInFlight;
  await inOrder(samples(tasks, journal), { limit, signal }, begin, (sample, statistics) => {
    if (!isDeepStrictEqual(statistics, sample.record.statistics)) {
      throw otherWeights(sample);
    }
    done = Math.max(done, sample.tensor + 1);
    onProgress?.({ step: "verify", done, total, unit: "tensors", detail: sample.task.target.name });
  });
}

/** Throws an InternalError if a file's header does not say what was planned. */
export async function verifyHeader(
  { path, layout }: PlannedFile,
  file: Parameters<typeof readGgufHeader>[0],
) {
  const { tensors } = await readGgufHeader(file);
  if (file.byteLength === layout.byteLength && isDeepStrictEqual(tensors, layout.tensors)) {
    return;
  }
  throw new InternalError(`${path}: its header, read back, does not describe the tensors that were planned.`);
}

/** The sampled slices with their records, read from the journal side by side with the plan. */
async function* samples(tasks: readonly TensorTask[], journal: Journal): AsyncGenerator<Sample> {
  const slices = numberedSlices(tasks);
  for await (const record of journal.records()) {
    const next = slices.next();
    if (next.done) {
      break;
    }
    const { tensor, number, ...slice } = next.value;
    if (isSampled(slice.task.source.shape, tensor, number)) {
      yield { ...slice, tensor, record };
    }
  }
  if (!slices.next().done) {
    throw new InternalError("the journal ends before the output does.");
  }
}

/** All slices, with the number of their tensor and their number in it. */
function* numberedSlices(tasks: readonly TensorTask[]) {
  const tensors = new Map(tasks.map((task, index) => [task, index]));
  const numbers = new Map<TensorTask, number>();
  for (const slice of sliceTasks(tasks)) {
    const number = numbers.get(slice.task) ?? 0;
    numbers.set(slice.task, number + 1);
    yield { ...slice, tensor: tensors.get(slice.task) ?? 0, number };
  }
}

function otherBytes({ task, slice }: SliceTask): EnvironmentError {
  return new EnvironmentError(
    `${task.file.path}: ${labelOf(task.target, slice)}: the disk gives back other bytes than were written; check it, and the memory.`,
    { file: task.file.path, tensor: task.target.name },
  );
}

function otherWeights({ task, slice }: SliceTask): InternalError {
  return new InternalError(
    `${task.file.path}: ${labelOf(task.target, slice)}: what was written decodes to other weights than the encoder reported; check the machine's memory and start over with \`restart\`.`,
    { file: task.file.path, tensor: task.target.name },
  );
}
