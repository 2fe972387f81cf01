/** Writes a whole model: layout first, then the tensors, then the headers, then the names. */
import { stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import type { OutputFile } from "../bytes/output.js";
import { beginChecksum, sha256OfFile } from "../bytes/sha256.js";
import {
  CancelledError,
  EnvironmentError,
  InternalError,
  MalformedInputError,
  UsageError,
} from "../errors.js";
import { rowCount, weightCount } from "../model/source.js";
import type { OnProgress } from "../progress.js";
import type { Effort } from "../quants/effort.js";
import { EncoderPool } from "../quants/pool.js";
import { noStatistics, relativeError } from "../quants/statistics.js";
import { version } from "../version.js";
import { fingerprintOf, identityOf } from "./fingerprint.js";
import type { SliceRecord } from "./journal.js";
import { SliceRecorder } from "./journal-writer.js";
import { type OutputRequest, type PlannedFile, planOutput } from "./output-plan.js";
import { findFinishedSlices, PartialReader } from "./resume.js";
import { sliceCount } from "./slices.js";
import { Unfinished } from "./unfinished.js";
import { verifyHeader, verifySlices } from "./verify-output.js";
import { type TensorTask, writeTensors } from "./write-tensors.js";

/** What is asked of every command that writes a model. */
export interface WriteControls {
  /** Encoder threads; all of the machine's cores if undefined. */
  readonly threads?: number | undefined;
  /** Continue the unfinished run of the same output, if there is one. */
  readonly resume?: boolean | undefined;
  /** Throw away the unfinished run of the same output, if there is one. */
  readonly restart?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Told about what the user should know but need not act on. */
  readonly onWarning?: ((warning: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface WriteModelOptions extends OutputRequest, WriteControls {
  /** What to call the work while it runs. */
  readonly step: string;
  /** What decides the output besides the source, by the name a message uses; a resumed run must have the same. */
  readonly inputs: Readonly<Record<string, string | undefined>>;
  readonly effort?: Effort | undefined;
}

export interface WrittenFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What there is when the work is done. */
export interface WrittenOutput {
  /** The file to open: the only one, or the first of a set. */
  readonly output: string;
  /** Size of all files together. */
  readonly bytes: number;
  readonly files: readonly WrittenFile[];
  /** Of the output file; absent for a set, see `files`. */
  readonly sha256?: string;
}

export interface WrittenModel extends WrittenOutput {
  /**
   * For each tensor of the request, the importance-weighted squared error as a share of the weights' own sum of
   * squares; 0 for copies.
   */
  readonly relativeErrors: readonly number[];
  /** Weights that this run encoded: all, unless it continued an earlier one. */
  readonly weights: number;
}

/**
 * Encodes and writes a model. The output appears under its name when it is whole. What stops the work on its way
 * (a stop, a full disk, a crash) leaves an unfinished run that `resume` continues, to the same bytes. Peak memory
 * does not depend on the size of the model.
 */
export async function writeModel(options: WriteModelOptions): Promise<WrittenModel> {
  const plan = planOutput(options);
  await checkOutputIsNotSource(options, plan);
  const unfinished = await openUnfinished(options, plan);
  const recorder = new SliceRecorder(unfinished.journal);
  const failed = new AbortController();
  const signal = AbortSignal.any([failed.signal, ...(options.signal ? [options.signal] : [])]);
  try {
    const written = await writeFiles({ ...options, signal }, plan, unfinished, recorder);
    await unfinished.commit();
    return written;
  } catch (error) {
    failed.abort();
    // Some slices may be written and not recorded yet; if that fails too, they will be done again.
    await recorder.flush().catch(() => {});
    throw await giveUp(unfinished, error);
  }
}

async function openUnfinished(options: WriteModelOptions, plan: readonly PlannedFile[]): Promise<Unfinished> {
  const { source, output, inputs, resume, restart, tensors } = options;
  if (resume && restart) {
    throw new UsageError("--resume and --restart contradict each other; use one.");
  }
  const fingerprint = fingerprintOf({
    source: await identityOf(source),
    ...inputs,
    "version of Lopsided": version,
  });
  const slices = sum(tensors.map((tensor) => sliceCount(tensor.source.shape)));
  const files = plan.map(({ path, layout: { byteLength } }) => ({ path, byteLength }));
  const earlier = resume ? "resume" : restart ? "restart" : "refuse";
  return await Unfinished.open({ output, files, fingerprint, slices }, earlier);
}

/** Everything between opening the files and giving them their names. */
async function writeFiles(
  options: WriteModelOptions,
  plan: readonly PlannedFile[],
  unfinished: Unfinished,
  recorder: SliceRecorder,
): Promise<WrittenModel> {
  const { source, step, effort = "default", onProgress, signal } = options;
  const tasks = tensorTasks(plan, unfinished.files);
  const done = await findFinishedSlices(tasks, unfinished, options);
  const weights = sum(tasks.map((task) => weightCount(task.source.shape))) - done.weights;
  const checksums = source.files.map((file) => beginChecksum(file, signal));
  const threads = options.threads ?? availableParallelism();
  const window = { slicesInFlight: 3 * Math.max(1, threads), onProgress, signal };
  const pool = new EncoderPool(threads);
  if (pool.warning) {
    options.onWarning?.(pool.warning);
  }
  const reader = new PartialReader();
  try {
    const onSlice = (file: OutputFile, record: SliceRecord) => recorder.add(file, record);
    const sums = await writeTensors(tasks, pool, { ...window, effort, step, done, onSlice });
    for (const task of tasks) {
      warnOfVanishedRows(task, sums.get(task)?.vanishedRows ?? 0, options);
    }
    await recorder.flush();
    const relativeErrors = tasks.map((task) => relativeError(sums.get(task) ?? noStatistics));
    const sourceSha256 = await Promise.all(checksums.map((checksum) => checksum()));
    for (const [file, planned] of pairs(unfinished.files, plan)) {
      await writeFrame(file, planned, sourceSha256);
      await verifyHeader(planned, await reader.source(file));
    }
    await verifySlices(tasks, unfinished.journal, reader, pool, window);
    return { ...(await summarizeFiles(unfinished.files, signal)), relativeErrors, weights };
  } finally {
    await reader.close();
    await pool.close();
  }
}

/** Writes all of a file that is not weights: the header, and zeros between the tensors and after the last. */
async function writeFrame(
  file: OutputFile,
  { header, layout }: PlannedFile,
  sourceSha256: readonly string[],
): Promise<void> {
  await file.write(0, header(sourceSha256));
  for (const [index, { offset, byteLength }] of layout.tensors.entries()) {
    const end = offset + byteLength;
    const next = layout.tensors[index + 1]?.offset ?? layout.byteLength;
    if (next > end) {
      await file.write(end, new Uint8Array(next - end));
    }
  }
}

async function summarizeFiles(files: readonly OutputFile[], signal?: AbortSignal): Promise<WrittenOutput> {
  const written: WrittenFile[] = [];
  for (const { path, byteLength, partialPath } of files) {
    written.push({ path, bytes: byteLength, sha256: await sha256OfFile(partialPath, signal) });
  }
  const [first, ...others] = written;
  const only = others.length === 0 ? first : undefined;
  return { ...describeOutput(written), files: written, ...(only && { sha256: only.sha256 }) };
}

/** Rows too small for a type's scales are no reason to stop after hours, but the user should know. */
function warnOfVanishedRows(
  { target }: TensorTask,
  vanishedRows: number,
  { onWarning }: WriteControls,
): void {
  if (vanishedRows === 0) {
    return;
  }
  onWarning?.(
    `${target.name}: ${vanishedRows} of ${rowCount(target.shape)} rows became all zero as ${target.type}, their weights being too small for its scales; if they matter, keep this tensor in a wider type.`,
  );
}

/** Path, size and checksum of files as one output. */
export function describeOutput(files: readonly Omit<WrittenFile, "sha256">[]) {
  const [first] = files;
  if (first === undefined) {
    throw new InternalError("an output has no file.");
  }
  return { output: first.path, bytes: sum(files.map(({ bytes }) => bytes)) };
}

/** The work on each tensor, in the order of the files. */
function tensorTasks(plan: readonly PlannedFile[], files: readonly OutputFile[]): TensorTask[] {
  return pairs(plan, files).flatMap(([{ tensors, layout }, file]) =>
    pairs(tensors, layout.tensors).map(([{ source, importance, moments }, target]) => ({
      source,
      target,
      file,
      importance,
      moments,
    })),
  );
}

/**
 * After a failure: keeps what is worth it and returns the error to raise, which says how to go on. A damaged
 * source leaves nothing worth keeping: what was read of it before cannot be trusted either.
 */
async function giveUp(unfinished: Unfinished, error: unknown): Promise<unknown> {
  const { journal, resumed } = unfinished;
  const isCancelled = error instanceof CancelledError;
  if (error instanceof MalformedInputError || (journal.length === 0 && !resumed)) {
    await unfinished.discard();
    return isCancelled ? new CancelledError("stopped; no output file was left.") : error;
  }
  await unfinished.keep();
  const goOn = "run the same command with --resume to continue.";
  const details = { resumable: true };
  if (isCancelled) {
    return new CancelledError(`stopped; ${goOn}`, details);
  }
  if (!(error instanceof EnvironmentError)) {
    return error;
  }
  const { message, cause } = error;
  return new EnvironmentError(
    `${message} What is done is kept; ${goOn}`,
    { ...error.details, ...details },
    { cause },
  );
}

async function checkOutputIsNotSource(
  { source }: WriteModelOptions,
  plan: readonly PlannedFile[],
): Promise<void> {
  for (const { path } of plan) {
    const target = await stat(path).catch(() => undefined);
    if (target === undefined) {
      continue;
    }
    for (const file of source.files) {
      if (file.remote) {
        continue;
      }
      const { dev, ino } = await stat(file.name);
      if (dev === target.dev && ino === target.ino) {
        throw new UsageError(`${path}: is the source itself; write to another file.`, { file: path });
      }
    }
  }
}

/** Two lists of the same length, side by side. */
function pairs<A, B>(a: readonly A[], b: readonly B[]): [A, B][] {
  if (a.length !== b.length) {
    throw new InternalError(`lists of ${a.length} and ${b.length} do not belong together.`);
  }
  return a.map((item, index) => [item, b[index] as B]);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
