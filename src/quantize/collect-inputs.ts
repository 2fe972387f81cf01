/**
 * Effort max with a calibration text in place of files: what it must know of the inputs is collected beside the output,
 * of all layers before the first is encoded, or of each layer just before that one is.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";
import { sourceIdentity } from "../activations/source-identity.js";
import { writeTextFile } from "../bytes/atomic-write.js";
import { freeBytes } from "../bytes/disk.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { sha256OfFile } from "../bytes/sha256.js";
import { mirroredVersion } from "../engine/native.js";
import { checkpointPath } from "../imatrix/checkpoint.js";
import { imatrix } from "../imatrix/compute.js";
import { formatOf, readImatrixFile, writeImatrixFile } from "../imatrix/file.js";
import type { ImatrixOptions } from "../imatrix/imatrix-command.js";
import { chooseMaxEffort, type MaxEffort } from "../imatrix/max-effort.js";
import { WindowRun } from "../imatrix/window-run.js";
import { keptSoFar } from "../kept/writer.js";
import { type OpenOptions, openModelToRun } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import { schemeOf } from "../remote/address-schemes.js";
import { RecentRanges } from "../remote/recent-ranges.js";
import { version } from "../version.js";
import type { ResolvedQuantizeOptions } from "./quantize-command.js";
import { waysToKeep } from "./ways-to-keep.js";
import { WindowInputs, type WindowInputsOptions } from "./window-inputs.js";

/** Bytes of text that are a token at least, for bounds. */
const bytesPerToken = 3;

/** Tokens in a chunk, unless told otherwise. */
const usualContext = 512;

/** What decides how it is collected besides the options. */
export interface CollectionFacts {
  /** What each expert adds is collected too, which decides which of them stay. */
  readonly expertOutputs: boolean;
}

/** Where it lies until the output is written. */
export function collectionFolder(output: string): string {
  return `${output}.calibration`;
}

/** What is to be collected of a text, and how. */
export interface Collection {
  /** Path of the text. */
  readonly text: string;
  readonly chosen: MaxEffort;
  /** What `imatrix` is asked for. */
  readonly run: ImatrixOptions;
  /** Stands for all that the files depend on, by sizes and dates of what is read. */
  readonly identity: string;
  /** The same of the text alone, by its contents: what an output depends on that is encoded on the way. */
  readonly contents: string | undefined;
}

/** Chooses what to collect of the calibration text, and says so; undefined without one. */
export async function planCollection(
  options: ResolvedQuantizeOptions,
  { expertOutputs }: CollectionFacts,
): Promise<Collection | undefined> {
  const { model, calibration: text, engine, onProgress, onWarning, signal, calibrationTokens } = options;
  if (text === undefined) {
    return undefined;
  }
  const files = filesOf(options.output);
  const { ctx = usualContext, ...how } = options.calibrationRun ?? {};
  const chunks = calibrationTokens === undefined ? how.chunks : Math.ceil(calibrationTokens / ctx);
  const source = await openModelToRun(model, { signal });
  try {
    const chosen = await choose(options, source, text, { expertOutputs, most: ctx * (chunks ?? Infinity) });
    options.onNotice?.(chosen.sentence);
    const { activationBits, momentsOf } = chosen;
    const { parseSpecial = true, dataset, priorWeight } = how;
    const read = [ctx, chunks, parseSpecial, dataset, priorWeight];
    const wanted = [version, read, activationBits, momentsOf, expertOutputs];
    const contents = [await sha256OfFile(text, signal), mirroredVersion, ...wanted];
    return {
      text,
      chosen,
      identity: sha256([await sourceIdentity(source, text), ...wanted]),
      contents: chosen.keeps ? undefined : sha256(contents),
      run: {
        model,
        text,
        output: files.imatrix,
        ...how,
        ctx,
        chunks,
        ...(momentsOf.length > 0 && { moments: files.moments, momentsOf }),
        ...(activationBits && { activations: files.activations, activationBits }),
        expertOutputs,
        parseSpecial,
        engine,
        onProgress,
        onWarning,
        signal,
      },
    };
  } finally {
    await source.close();
  }
}

/**
 * Where a layer's weights stay until it is encoded, if it is encoded when it has been run and they come from a server;
 * undefined otherwise. Close it at the end.
 */
export async function keepRecent(
  { output }: ResolvedQuantizeOptions,
  { chosen }: Collection,
): Promise<RecentRanges | undefined> {
  return chosen.recentBytes > 0
    ? await RecentRanges.open(dirname(resolve(output)), chosen.recentBytes)
    : undefined;
}

/** Makes the folder. Throws a UsageError if a file in it is read by the command. */
async function prepareCollection({ model, output, imatrix, recipe }: ResolvedQuantizeOptions, text: string) {
  await checkOutputs(Object.values(filesOf(output)), [model, text, imatrix, recipe]);
  await mkdir(collectionFolder(output), { recursive: true });
}

/**
 * Collects all of it: the options with the files, and with the importance matrix of the same text unless another is
 * given. What an earlier run collected of the same model and text is used again. Errors: see `imatrix`.
 */
export async function collectInputs(
  options: ResolvedQuantizeOptions,
  { text, run, identity }: Collection,
): Promise<ResolvedQuantizeOptions> {
  const done = join(collectionFolder(options.output), "done");
  if ((await readFile(done, "utf8").catch(() => "")) !== identity) {
    await prepareCollection(options, text);
    await rm(done, { force: true });
    await imatrix(run);
    await writeTextFile(done, identity);
  }
  const { moments, activations } = run;
  return {
    ...options,
    imatrix: options.imatrix ?? run.output,
    moments,
    activations: activations === undefined ? undefined : [activations],
  };
}

/**
 * Has each layer's inputs collected just before it is encoded, and nothing of them kept. Close it at the end.
 * Errors: see `imatrix`.
 */
export async function openWindows(
  options: ResolvedQuantizeOptions,
  { text, run }: Collection,
  { recent, ...tensors }: Pick<WindowInputsOptions, "collected" | "quantized"> & Pick<OpenOptions, "recent">,
): Promise<WindowInputs> {
  await prepareCollection(options, text);
  const { onWarning } = options;
  const importance = options.imatrix === undefined ? options : undefined;
  return new WindowInputs(await WindowRun.open(run, { recent }), { ...tensors, importance, onWarning });
}

/** When the output is written: leaves the importance matrix where it is wanted, and removes what was collected. */
export async function endCollection(
  { output, imatrixOutput }: ResolvedQuantizeOptions,
  { run }: Collection,
): Promise<void> {
  if (imatrixOutput !== undefined) {
    await writeImatrixFile(imatrixOutput, await readImatrixFile(run.output), formatOf(imatrixOutput));
  }
  await rm(collectionFolder(output), { recursive: true, force: true });
}

function sha256(facts: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex");
}

function filesOf(output: string) {
  const file = (name: string) => join(collectionFolder(output), name);
  return { imatrix: file("imatrix.gguf"), moments: file("moments"), activations: file("activations") };
}

async function choose(
  options: ResolvedQuantizeOptions,
  source: ModelSource,
  text: string,
  { expertOutputs, most }: CollectionFacts & { readonly most: number },
): Promise<MaxEffort> {
  const { model, output, threads = availableParallelism(), mtp } = options;
  const { activations, imatrix } = filesOf(output);
  const free = await freeBytes(dirname(resolve(output)));
  const earlier = await keptSoFar(activations);
  const tokens = Math.min(most, Math.ceil((await stat(text)).size / bytesPerToken));
  // What was begun goes on in the same way, however much room there is now.
  const begun = earlier.isThere ? true : existsSync(checkpointPath(imatrix)) ? false : undefined;
  return chooseMaxEffort(source, {
    tokens,
    threads,
    freeBytes: free && free + earlier.bytes,
    keep: options.keepActivations ?? begun,
    isOnServer: schemeOf(model) !== undefined,
    ...waysToKeep(source, model, { dropsExperts: expertOutputs, hasSecondFile: mtp === "separate" }),
  });
}
