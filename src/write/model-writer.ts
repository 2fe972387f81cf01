/**
 * Writes a model in three steps: `begin` plans and opens, `write` encodes the weights, `finish` adds the headers,
 * checks what is on the disk and gives the files their names. Slices are read, encoded and written side by side, but
 * finished in the order of `sliceTasks`, so how far an output has come is one number.
 */
import { crc32 } from "node:zlib";
import { inOrder } from "../bytes/bounded-pipeline.js";
import type { OutputFile } from "../bytes/output.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { beginChecksum, sha256OfFile } from "../bytes/sha256.js";
import {
  CancelledError,
  EnvironmentError,
  InternalError,
  MalformedInputError,
  UsageError,
} from "../errors.js";
import { type ModelSource, rowCount, weightCount } from "../model/source.js";
import type { OnProgress } from "../progress.js";
import type { Effort } from "../quants/effort.js";
import { noStatistics, relativeError, type Statistics } from "../quants/statistics.js";
import type { Slice } from "../quants/transcode.js";
import { allOrFirst, type Transcoder } from "../quants/transcoder.js";
import { traitsOf } from "../quants/types.js";
import { version } from "../version.js";
import { type EncodedCache, type EncodedSlice, isWorthKeeping, keyOf } from "./encoded-cache.js";
import { checkUnchanged, datesOf, fingerprintOf, identityOf } from "./fingerprint.js";
import { SliceRecorder } from "./journal-writer.js";
import { type OutputRequest, type PlannedFile, planOutput } from "./output-plan.js";
import { findFinishedSlices, PartialReader } from "./resume.js";
import {
  addSlice,
  inBatches,
  mostInBatch,
  type SliceBatch,
  SliceReader,
  type SliceTask,
  sliceTasks,
  sliceWeights,
  type TensorTask,
} from "./slice-tasks.js";
import { sliceCount } from "./slices.js";
import { cutIntoGroups, inOrderOfGroups } from "./tensor-groups.js";
import { Unfinished } from "./unfinished.js";
import { verifyHeader, verifySlices } from "./verify-output.js";

/** What is to be written, and how. */
export interface WriteRequest extends OutputRequest {
  /** What to call the work while it runs. */
  readonly step: string;
  /** What decides the output besides the source, by the name a message uses; a resumed run must have the same. */
  readonly inputs: Readonly<Record<string, string | undefined>>;
  /** Paths of what is read besides the source's files: an output may be none of them. */
  readonly reads?: readonly (string | undefined)[];
  readonly effort?: Effort | undefined;
  /** Continue the unfinished run of the same output, if there is one. */
  readonly resume?: boolean | undefined;
  /** Throw away the unfinished run of the same output, if there is one. */
  readonly restart?: boolean | undefined;
  /** Called when all weights are on the disk: what headers and checks are made of must be known from then on. */
  readonly onEncoded?: (() => Promise<void>) | undefined;
  /** Called when all is written and checked, before the files get their names: where they are, by those names. */
  readonly beforeNaming?:
    | ((files: readonly { path: string; partial: string }[]) => Promise<void>)
    | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Told about what the user should know but need not act on. */
  readonly onWarning?: ((warning: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
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
  /** Weights that this run wrote: all, unless it continued an earlier one. */
  readonly weights: number;
  /** How many of these came from the cache; undefined without one. */
  readonly cachedWeights?: number;
}

/**
 * One output on its way. When a step fails, it has already cleaned up: what is worth it is kept for `resume`, the
 * lock is released, and the error says how to go on.
 */
export class ModelWriter {
  readonly #request: WriteRequest;
  readonly #encoders: Transcoder;
  /** Where slices that were encoded before are looked for, and others kept. */
  readonly #cache: EncodedCache | undefined;
  readonly #plan: readonly PlannedFile[];
  /** Of the source's files when the output was begun. */
  readonly #sourceDates: readonly string[];
  readonly #unfinished: Unfinished;
  readonly #tasks: readonly TensorTask[];
  readonly #totalWeights: number;
  readonly #recorder: SliceRecorder;
  readonly #written = new PartialReader();
  readonly #failed = new AbortController();
  readonly #signal: AbortSignal;
  /** What encoding did to each tensor so far. */
  readonly #sums = new Map<TensorTask, Statistics>();
  #finishedSlices = 0;
  #finishedWeights = 0;
  #resumedWeights = 0;
  #cachedWeights = 0;
  #checksums: readonly (() => Promise<string>)[] = [];

  private constructor(
    request: WriteRequest,
    encoders: Transcoder,
    cache: EncodedCache | undefined,
    plan: readonly PlannedFile[],
    sourceDates: readonly string[],
    unfinished: Unfinished,
  ) {
    this.#request = request;
    this.#encoders = encoders;
    this.#cache = cache;
    this.#plan = plan;
    this.#sourceDates = sourceDates;
    this.#unfinished = unfinished;
    this.#tasks = tensorTasks(request.source, plan, unfinished.files);
    this.#totalWeights = sum(this.#tasks.map(({ source }) => weightCount(source.shape)));
    this.#recorder = new SliceRecorder(unfinished.journal);
    this.#signal = AbortSignal.any([this.#failed.signal, ...(request.signal ? [request.signal] : [])]);
  }

  /**
   * Plans the output, opens its files under other names, and with `resume` finds out how far an earlier run came.
   * Throws a UsageError if it cannot be written as asked or there is an unfinished run that is not to be touched.
   */
  static async begin(
    request: WriteRequest,
    encoders: Transcoder,
    cache?: EncodedCache,
  ): Promise<ModelWriter> {
    const plan = planOutput(request);
    const inputs = [...request.source.files.map(({ name }) => name), ...(request.reads ?? [])];
    await checkOutputs(
      plan.map(({ path }) => path),
      inputs,
    );
    const dates = await datesOf(request.source);
    const unfinished = await openUnfinished(request, plan);
    const writer = new ModelWriter(request, encoders, cache, plan, dates, unfinished);
    await writer.#orGiveUp(() => writer.#takeUp());
    return writer;
  }

  /** Reads, encodes and writes all slices that are not there yet. Weights that are not finite are an error. */
  async write(): Promise<void> {
    await this.#orGiveUp(async () => {
      const { effort = "default" } = this.#request;
      const reader = new SliceReader();
      const encode = async (batch: SliceBatch) => {
        const reading = batch.map((task) => reader.read(task, effort, { withMoments: true }));
        const slices = await allOrFirst(reading);
        const checksums = slices.map(({ source }) => crc32(source));
        const encoded = await this.#transcode(slices, batch.map(sliceWeights));
        return pairs(encoded, checksums).map(([slice, sourceCrc32]) => ({ ...slice, sourceCrc32 }));
      };
      const encoders = this.#encoders;
      const options = {
        get limit() {
          // Room for another batch beside the largest.
          return Math.max(encoders.slicesInFlight, mostInBatch + 1);
        },
        sizeOf: (batch: SliceBatch) => batch.length,
        signal: this.#signal,
      };
      const rest = inBatches(skip(sliceTasks(this.#tasks), this.#finishedSlices));
      for (const { group, items } of cutIntoGroups(rest, ([{ task }]) => task.group)) {
        await group?.begin();
        await inOrder(items, options, encode, async (batch, encoded) => {
          for (const [task, slice] of pairs(batch, encoded)) {
            await this.#writeSlice(task, slice);
          }
        });
        await this.#recorder.flush();
      }
      await this.#endCaching();
    });
  }

  /** What the slices of a batch become: from the cache, or encoded. */
  async #transcode(slices: readonly Slice[], weights: readonly number[]): Promise<EncodedSlice[]> {
    const cache = this.#cache;
    if (cache === undefined) {
      return await this.#encoders.transcodeTogether(slices);
    }
    const found = await Promise.all(slices.map((slice) => this.#findKept(slice, cache)));
    const missing = slices.filter((_, i) => found[i]?.kept === undefined);
    const encoded = await this.#encoders.transcodeTogether(missing);
    const results: EncodedSlice[] = [];
    for (const [i, { key, kept }] of found.entries()) {
      const slice = kept ?? (encoded.shift() as EncodedSlice);
      results.push(slice);
      if (kept) {
        this.#cachedWeights += weights[i] ?? 0;
      } else if (key !== undefined) {
        await cache.put(key, slice);
      }
    }
    return results;
  }

  /** What the cache has of a slice, and the key to keep it under; none if it is not worth it. */
  async #findKept(
    slice: Slice,
    cache: EncodedCache,
  ): Promise<{ key?: string; kept?: EncodedSlice | undefined }> {
    if (!isWorthKeeping(slice)) {
      return {};
    }
    const key = await keyOf(slice, this.#encoders);
    return { key, kept: await cache.get(key) };
  }

  async #endCaching(): Promise<void> {
    await this.#cache?.trim();
    if (this.#cache?.failure !== undefined) {
      this.#request.onWarning?.(
        `encoded tensors could not be kept in the cache (${this.#cache.failure}); the output is not affected.`,
      );
    }
  }

  /** Adds the headers, verifies a sample of what is on the disk, and gives the files their names. */
  async finish(): Promise<WrittenModel> {
    return await this.#orGiveUp(async () => {
      await this.#request.onEncoded?.();
      this.#warnOfVanishedRows();
      const sourceSha256 = await Promise.all(this.#checksums.map((checksum) => checksum()));
      checkUnchanged(this.#request.source, this.#sourceDates, await datesOf(this.#request.source));
      for (const [file, planned] of pairs(this.#unfinished.files, this.#plan)) {
        await writeFrame(file, planned, sourceSha256);
        await verifyHeader(planned, await this.#written.source(file));
      }
      const { onProgress } = this.#request;
      const options = { onProgress, signal: this.#signal };
      await verifySlices(this.#tasks, this.#unfinished.journal, this.#written, this.#encoders, options);
      const output = await summarizeFiles(this.#unfinished.files, this.#signal);
      await this.#written.close();
      await this.#request.beforeNaming?.(
        this.#unfinished.files.map(({ path, partialPath }) => ({ path, partial: partialPath })),
      );
      await this.#unfinished.commit();
      const relativeErrors = this.#relativeErrors();
      const weights = this.#finishedWeights - this.#resumedWeights;
      const cached = this.#cache ? { cachedWeights: this.#cachedWeights } : {};
      return { ...output, relativeErrors, weights, ...cached };
    });
  }

  /** In the order of the request, from which that of the files and that of the work may differ. */
  #relativeErrors(): number[] {
    const byName = new Map(this.#tasks.map((task) => [task.source.name, this.#sums.get(task)]));
    return this.#request.tensors.map(({ source }) => relativeError(byName.get(source.name) ?? noStatistics));
  }

  async #takeUp(): Promise<void> {
    const { source, onProgress } = this.#request;
    const output = this.#plan[0]?.path ?? "";
    const isVersioned = source.files.every(({ remote }) => remote?.version !== undefined);
    const options = { output, isVersioned, onProgress, signal: this.#signal };
    for await (const { task, record } of findFinishedSlices(this.#tasks, this.#unfinished, options)) {
      this.#count(task, record.statistics);
    }
    this.#warnOfUnchecked();
    this.#resumedWeights = this.#finishedWeights;
    this.#checksums = source.files.map((file) => beginChecksum(file, this.#signal));
  }

  async #writeSlice(
    sliceTask: SliceTask,
    { bytes, sourceCrc32, statistics }: EncodedSlice & { readonly sourceCrc32: number },
  ): Promise<void> {
    const { step, onProgress } = this.#request;
    const { task, offset } = sliceTask;
    await task.file.write(offset, bytes);
    await this.#recorder.add(task.file, { crc32: crc32(bytes), sourceCrc32, statistics });
    this.#count(sliceTask, statistics);
    const total = this.#totalWeights;
    const machines = this.#encoders.describe?.();
    const detail = machines === undefined ? task.target.name : `${task.target.name} | ${machines}`;
    onProgress?.({ step, done: this.#finishedWeights, total, unit: "weights", detail });
  }

  #count(sliceTask: SliceTask, statistics: Statistics): void {
    addSlice(this.#sums, sliceTask.task, statistics);
    this.#finishedSlices++;
    this.#finishedWeights += sliceWeights(sliceTask);
  }

  /** Types that cannot be decoded are copied without a look at their weights. */
  #warnOfUnchecked(): void {
    const unchecked = this.#tasks.filter(({ source }) => !traitsOf(source.type).canDecode);
    const [first] = unchecked;
    if (first !== undefined) {
      this.#request.onWarning?.(
        `${unchecked.length} tensors are copied unchecked, as their types cannot be decoded: ${first.source.name} (${first.source.type})${unchecked.length > 1 ? " and others" : ""}.`,
      );
    }
  }

  /** Rows too small for a type's scales are no reason to stop after hours, but the user should know. */
  #warnOfVanishedRows(): void {
    for (const [{ target }, { vanishedRows }] of this.#sums) {
      if (vanishedRows > 0) {
        this.#request.onWarning?.(
          `${target.name}: ${vanishedRows} of ${rowCount(target.shape)} rows became all zero as ${target.type}, their weights being too small for its scales; if they matter, keep this tensor in a wider type.`,
        );
      }
    }
  }

  async #orGiveUp<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      this.#failed.abort();
      await this.#written.close();
      // Some slices may be written and not recorded yet; if that fails too, they will be done again.
      await this.#recorder.flush().catch(() => {});
      throw await giveUp(this.#unfinished, error);
    }
  }
}

async function openUnfinished(request: WriteRequest, plan: readonly PlannedFile[]): Promise<Unfinished> {
  const { source, output, inputs, resume, restart, tensors } = request;
  if (resume && restart) {
    throw new UsageError("`resume` and `restart` contradict each other; use one.");
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

/** The work on each tensor, in its order. */
function tensorTasks(
  { name: model, files: sourceFiles }: ModelSource,
  plan: readonly PlannedFile[],
  files: readonly OutputFile[],
): readonly TensorTask[] {
  const isReadInOrder = sourceFiles.some(({ remote }) => remote !== undefined);
  const inFiles = pairs(plan, files).flatMap(([{ tensors, layout }, file]) =>
    pairs(tensors, layout.tensors).map(([{ source, importance, moments, group }, target]) => ({
      model,
      source,
      target,
      file,
      importance,
      moments,
      group,
      isReadInOrder,
    })),
  );
  return inOrderOfGroups(inFiles);
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

async function summarizeFiles(files: readonly OutputFile[], signal: AbortSignal): Promise<WrittenOutput> {
  const written: WrittenFile[] = [];
  for (const { path, byteLength, partialPath } of files) {
    written.push({ path, bytes: byteLength, sha256: await sha256OfFile(partialPath, signal) });
  }
  const [first, ...others] = written;
  const only = others.length === 0 ? first : undefined;
  return { ...describeOutput(written), files: written, ...(only && { sha256: only.sha256 }) };
}

/** Path and size of files as one output. */
export function describeOutput(files: readonly Omit<WrittenFile, "sha256">[]) {
  const [first] = files;
  if (first === undefined) {
    throw new InternalError("an output has no file.");
  }
  return { output: first.path, bytes: sum(files.map(({ bytes }) => bytes)) };
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
  const goOn = "run the same command with `resume` to continue.";
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

function* skip<T>(items: Iterable<T>, count: number): Generator<T> {
  let index = 0;
  for (const item of items) {
    if (index++ >= count) {
      yield item;
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
