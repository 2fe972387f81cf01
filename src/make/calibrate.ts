/** The stage `imatrix`: calibration, and what effort max needs to know of the inputs. */
import { readdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { freeBytes } from "../bytes/disk.js";
import { sha256OfFile } from "../bytes/sha256.js";
import { mirroredVersion } from "../engine/native.js";
import { imatrix as computeImatrix, type ImatrixResult } from "../imatrix/compute.js";
import { readImatrixFile, writeImatrixFile } from "../imatrix/file.js";
import { chooseMaxEffort, type MaxEffort } from "../imatrix/max-effort.js";
import { keptSoFar } from "../kept/writer.js";
import { openModelToRun } from "../model/open.js";
import { collectionFolder } from "../quantize/collect-inputs.js";
import { waysToKeep } from "../quantize/ways-to-keep.js";
import { loadRecipe } from "../recipe/presets.js";
import type { MakeFolder } from "./folder.js";
import { defaultRecipe, type ResolvedMakeOptions } from "./make-command.js";
import { hasBudget } from "./options.js";
import { engineOptions, type MakeRun, queueOptionsOf } from "./run.js";
import type { PreparedSource, SourceFacts } from "./source.js";

export interface Calibration {
  readonly result: ImatrixResult;
  readonly imatrix: string;
  readonly imatrixSha256: string;
  readonly textSha256: string;
  /** Only with effort `max`. */
  readonly inputs: CalibratedInputs;
  /** Of these files, by what they are. */
  readonly inputsSha256: Readonly<Record<string, string | undefined>>;
}

/** The importance matrix among the files of a folder. */
export const imatrixFileName = "imatrix.gguf";

/** Files of what effort max knows of the inputs of weights, as the options of `quantize` and `plan` name them. */
export interface CalibratedInputs {
  readonly moments?: string;
  readonly activations?: readonly string[];
}

/** Computes `imatrix.gguf`, and the same as `imatrix.dat`. Errors: see `imatrix`. */
export async function calibrate(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  wanted: MaxEffort | undefined,
): Promise<Calibration> {
  const { options, folder, stages } = run;
  const { ctxCalibration: ctx, chunks } = options;
  const { name, path: text, parseSpecial } = run.texts.calibration;
  const imatrix = folder.file(imatrixFileName);
  const dat = folder.file("imatrix.dat");
  const activations = wanted?.activationBits && folder.workFile("activations");
  const moments = wanted?.momentsOf.length ? folder.workFile("moments") : undefined;
  const { priorWeight } = options;
  const expertOutputs = await needsExpertOutputs(options);
  const textSha256 = await sha256OfFile(text, options.signal);
  const done = await stages.run({
    name: "imatrix",
    inputs: {
      source: facts.identity,
      "calibration text": textSha256,
      "calibration chunks": [ctx, chunks, parseSpecial],
      moments: wanted?.momentsOf,
      activations: wanted?.activationBits,
      "prior weight": priorWeight,
      "outputs of experts": expertOutputs || undefined,
      "llama.cpp": mirroredVersion,
    },
    run: async (stage) => {
      const result = await computeImatrix({
        ...engineOptions(run, stage),
        // What effort max keeps of the inputs is collected on one machine.
        ...(wanted === undefined && queueOptionsOf(run)),
        model: source.runnable,
        text,
        dataset: name,
        output: imatrix,
        ctx,
        chunks,
        parseSpecial,
        priorWeight,
        expertOutputs,
        moments,
        ...(moments !== undefined && { momentsOf: wanted?.momentsOf }),
        activations,
        ...(activations !== undefined && { activationBits: wanted?.activationBits }),
      });
      await writeImatrixFile(dat, await readImatrixFile(imatrix), "dat");
      return result;
    },
    files: () =>
      [imatrix, dat, moments, activations].flatMap((path) => (path === undefined ? [] : [{ path }])),
  });
  const [imatrixSha256 = "", , ...others] = done.sha256;
  const momentsSha256 = moments && others[0];
  const activationsSha256 = activations && others.at(-1);
  return {
    result: done.result,
    imatrix,
    imatrixSha256,
    textSha256,
    inputs: { ...(moments && { moments }), ...(activations && { activations: [activations] }) },
    inputsSha256: { moments: momentsSha256, activations: activationsSha256 },
  };
}

/** Whether experts may be dropped. */
async function needsExpertOutputs({ prune, recipe }: ResolvedMakeOptions): Promise<boolean> {
  return prune !== undefined || (await loadRecipe(recipe ?? defaultRecipe)).keepExperts !== undefined;
}

/** Chooses what effort max needs, and says so before the work begins; undefined with another effort. */
export async function chooseInputs(
  { options, folder, stages }: MakeRun,
  source: PreparedSource,
): Promise<MaxEffort | undefined> {
  const { ctxCalibration, chunks, threads = availableParallelism(), mtp, keepActivations } = options;
  if (options.effort !== "max") {
    return undefined;
  }
  const model = await openModelToRun(source.runnable, { signal: options.signal });
  try {
    const free = await freeBytes(folder.work);
    // What an earlier run has kept has its room already.
    const earlier = await keptSoFar(folder.workFile("activations"));
    // What was begun goes on in the same way.
    const begun = earlier.isThere ? true : (await wasBegunLayerByLayer(folder)) ? false : undefined;
    const dropsExperts = await needsExpertOutputs(options);
    const ways = waysToKeep(model, source.runnable, { dropsExperts, hasSecondFile: mtp === "separate" });
    const chosen = chooseMaxEffort(model, {
      tokens: ctxCalibration * chunks,
      threads,
      freeBytes: free && free + earlier.bytes,
      keep: keepActivations ?? begun,
      ...ways,
      ...(hasBudget(options) && { mustKeepBecause: "types are chosen by what all layers' inputs are" }),
    });
    stages.chosen("imatrix", chosen.sentence);
    return chosen;
  } finally {
    await model.close();
  }
}

/** Whether an earlier run has encoded layers when they had been run. */
async function wasBegunLayerByLayer({ path, work, state }: MakeFolder): Promise<boolean> {
  const isDone = state.finished("quantize")?.files.some((file) => file.path === imatrixFileName) ?? false;
  const names = [...(await readdir(path)), ...(await readdir(work))];
  return isDone || names.some((name) => name.endsWith(collectionFolder(".gguf")));
}
