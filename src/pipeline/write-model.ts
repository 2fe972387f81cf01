/** Writes a whole GGUF file: layout first, then the tensors, then the name. */
import { stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { OutputFile } from "../bytes/output.js";
import { UsageError } from "../errors.js";
import { type GgufLayout, planGguf } from "../gguf/layout.js";
import type { Metadata } from "../gguf/metadata.js";
import type { ModelSource, SourceTensor } from "../model/source.js";
import type { OnProgress } from "../progress.js";
import type { Effort } from "../quants/effort.js";
import { EncoderPool } from "../quants/pool.js";
import type { TypeName } from "../quants/types.js";
import { sha256OfFile } from "./hash.js";
import { type TensorOutcome, type TensorTask, writeTensors } from "./write-tensors.js";

/** A tensor of the source and what becomes of it. */
export interface PlannedTensor {
  readonly source: SourceTensor;
  readonly type: TypeName;
  readonly importance?: TensorTask["importance"];
}

export interface WriteModelOptions {
  readonly source: ModelSource;
  /** Path of the file to write. */
  readonly output: string;
  readonly tensors: readonly PlannedTensor[];
  /**
   * Metadata of the output, given the SHA-256 of each of the source's files. It is asked for twice, before and
   * after the weights are written, and must have the same length both times.
   */
  readonly metadata: (sourceSha256: readonly string[]) => Metadata;
  /** What to call the work while it runs. */
  readonly step: string;
  readonly effort?: Effort | undefined;
  /** Encoder threads; all of the machine's cores if undefined. */
  readonly threads?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Told about what the user should know but need not act on. */
  readonly onWarning?: ((warning: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface WrittenModel {
  readonly layout: GgufLayout;
  readonly outcomes: readonly TensorOutcome[];
  /** Of the output file. */
  readonly sha256: string;
}

/** Stands for a checksum that is not known yet. */
const unknownSha256 = "0".repeat(64);

/** The layout that a model will have, before anything is read or written. */
export function layoutOf(options: Pick<WriteModelOptions, "source" | "tensors" | "metadata">): GgufLayout {
  return layoutWith(
    options,
    options.source.files.map(() => unknownSha256),
  );
}

function layoutWith(
  { tensors, metadata }: Pick<WriteModelOptions, "tensors" | "metadata">,
  sourceSha256: readonly string[],
): GgufLayout {
  return planGguf({
    metadata: metadata(sourceSha256),
    tensors: tensors.map(({ source: { name, shape }, type }) => ({ name, shape, type })),
  });
}

/**
 * Encodes and writes a model. The output appears under its name when it is whole; after an error or a stop,
 * nothing is left. Peak memory does not depend on the size of the model.
 */
export async function writeModel(options: WriteModelOptions): Promise<WrittenModel> {
  const { source, onProgress, signal } = options;
  await checkOutputIsNotSource(options);
  const threads = options.threads ?? availableParallelism();
  const layout = layoutOf(options);
  const output = await OutputFile.create(options.output, layout.byteLength);
  const pool = new EncoderPool(threads);
  if (pool.warning) options.onWarning?.(pool.warning);
  // The source is read a second time for its checksum, beside the encoding that takes most of the time.
  const stopHashing = new AbortController();
  const hashing = Promise.all(source.files.map((file) => sha256OfFile(file, stopHashing.signal)));
  hashing.catch(() => {}); // it is awaited below; until then a failure is not "unhandled"
  try {
    const tasks = options.tensors.map((tensor, index): TensorTask => {
      const target = layout.tensors[index];
      if (target === undefined) throw new RangeError("the layout has fewer tensors than the plan");
      return { source: tensor.source, target, importance: tensor.importance };
    });
    const outcomes = await writeTensors(tasks, output, pool, {
      effort: options.effort ?? "default",
      slicesInFlight: 3 * Math.max(1, threads),
      step: options.step,
      onProgress,
      signal,
    });
    await output.write(0, layoutWith(options, await hashing).header);
    await output.commit();
    return { layout, outcomes, sha256: await sha256OfFile(options.output) };
  } finally {
    stopHashing.abort();
    await pool.close();
    await output.discard();
  }
}

async function checkOutputIsNotSource({ source, output }: WriteModelOptions): Promise<void> {
  const target = await stat(output).catch(() => undefined);
  if (target === undefined) return;
  for (const file of source.files) {
    const { dev, ino } = await stat(file);
    if (dev === target.dev && ino === target.ino) {
      throw new UsageError(`${output}: is the source itself; write to another file.`, { file: output });
    }
  }
}
