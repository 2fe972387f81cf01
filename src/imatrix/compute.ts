/** Computing the importance matrix of a model from a calibration text: the whole of the `imatrix` command. */

import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { runWithWindows } from "../activations/window-server.js";
import { shownName } from "../bytes/address.js";
import { OutputFile } from "../bytes/output.js";
import { checkOutputs } from "../bytes/overwriting.js";
import type { ResolvedOptionsOf } from "../contract/command.js";
import { Engine } from "../engine/engine.js";
import { CancelledError, UsageError } from "../errors.js";
import { finishKept, unfinishedPath } from "../kept/writer.js";
import { openModelToRun } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import { collectMoments } from "../moments/collect-job.js";
import { type MomentsCoverage, momentsWarning } from "../moments/coverage.js";
import { isDone, joinPasses } from "../moments/passes.js";
import { type QueueSettings, queueSettings } from "../queue/settings.js";
import { loadReduceModule } from "../reduce/load.js";
import { checkText } from "../text/text.js";
import { checkpointPath } from "./checkpoint.js";
import { type CollectResult, collectImatrix, streamPath } from "./collect-job.js";
import { collectOnQueue, type QueueRun } from "./collect-on-queue.js";
import { coverageWarning, type ExpertCoverage, expertCoverage } from "./coverage.js";
import { formatOf, readImatrixFile, writeImatrixFile } from "./file.js";
import type { Imatrix, ImatrixFormat } from "./imatrix.js";
import { type ImatrixOptions, imatrixCommand } from "./imatrix-command.js";
import { withPrior } from "./importance.js";
import { describeKept, type KeptCoverage } from "./kept.js";
import { routedWithoutImportance } from "./load-importance.js";
import { mergeImatrices } from "./merge.js";
import { jobOptions, planRun } from "./plan-run.js";

type Settings = ResolvedOptionsOf<typeof imatrixCommand>;

export interface ImatrixResult {
  readonly output: string;
  readonly format: ImatrixFormat;
  /** Chunks and tokens of this text, those of an interrupted run included; merged files are not. */
  readonly chunks: number;
  readonly tokens: number;
  /** Chunks that an interrupted run had done already. */
  readonly resumedFrom: number;
  /** Number of tensors with statistics. */
  readonly tensors: number;
  readonly coverage: readonly ExpertCoverage[];
  /** Of the moments file, if one was written. */
  readonly moments?: MomentsCoverage & { readonly output: string; readonly passes: number };
  /** Of the file of kept activations, if one was written. */
  readonly activations?: KeptCoverage;
  /** Time spent on chunks in this run, without loading the model. */
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

/**
 * Runs a model over a calibration text and writes its importance matrix, with llama-imatrix's statistics,
 * summed in groups of chunks.
 * Unfinished work is saved beside the output (`<output>.partial`) and continued by the next run with the same
 * model, text and options; it ends with the same file.
 *
 * Throws a UsageError if options make no sense or the text is too short, a MalformedInputError for damaged files, an
 * EnvironmentError if something cannot be read or written or llama.cpp fails, a CancelledError when stopped.
 */
export async function imatrix(given: ImatrixOptions): Promise<ImatrixResult> {
  const options = imatrixCommand.read(given);
  const { ctx: context } = options;
  if (options.moments === undefined && (options.momentsOf || options.momentsPerExpert)) {
    throw new UsageError(
      "`momentsOf` and `momentsPerExpert` say what goes into a file; name it with `moments`.",
    );
  }
  const machines = queueSettings(options);
  if (machines && (options.moments ?? options.activations) !== undefined) {
    throw new UsageError(
      "`moments` and `activations` are collected on one machine; leave out `queue`, or collect them by themselves.",
    );
  }
  await checkPaths(options);
  const checkpoint = checkpointPath(options.output);
  const engine = options.engine ?? new Engine();
  const source = await openModelToRun(options.model, { signal: options.signal });
  try {
    const merged = await readMerged(options, source);
    const { params, passes } = await planRun(options, source, engine);
    const inWindows = params.model.windows !== undefined;
    const missing = await Promise.all(
      passes.map(async (pass) => (pass && (await isDone(pass)) ? undefined : pass)),
    );
    const moments = options.moments === undefined ? undefined : inWindows ? missing : missing.slice(0, 1);
    const running = jobOptions(options, inWindows ? 1 : passes.length);
    const collected = machines
      ? await collectOnQueue(params, queueRun(options, machines, engine, source))
      : await runWithWindows(engine, collectImatrix, { ...params, moments }, [source], running(1));
    for (const [i, pass] of (inWindows ? [] : missing).entries()) {
      if (pass && i > 0) {
        await runWithWindows(engine, collectMoments, { ...params, pass }, [source], running(i + 1));
      }
    }
    const written = passes.filter((pass) => pass !== undefined);
    const momentsCoverage = options.moments && (await joinPasses(written, options.moments));
    const collectedSums = await readImatrixFile(checkpoint);
    const activations = params.kept && (await describeKept(params.kept, collectedSums));
    if (params.kept && activations) {
      await finishKept(params.kept.path, activations.hidden);
    }
    const file = await writeCollected(options, collectedSums, merged);
    await rm(checkpoint, { force: true });
    await rm(streamPath(checkpoint), { force: true });
    const momentsTooThin = momentsCoverage && momentsWarning(momentsCoverage);
    if (momentsTooThin !== undefined) {
      options.onWarning?.(momentsTooThin);
    }
    return {
      ...file,
      ...countsOf(collected, context),
      ...(momentsCoverage && {
        moments: { ...momentsCoverage, output: options.moments ?? "", passes: written.length },
      }),
      ...(activations && { activations: activations.coverage }),
    };
  } catch (error) {
    throw error instanceof CancelledError ? stopped(options.output, checkpoint, error) : error;
  } finally {
    await source.close();
    if (options.engine === undefined) {
      await engine.close();
    }
  }
}

/** What is told of the chunks that a run has been through. */
export function countsOf(
  { chunks, resumedFrom, seconds }: Pick<CollectResult, "chunks" | "resumedFrom" | "seconds">,
  context: number,
): Pick<ImatrixResult, "chunks" | "tokens" | "resumedFrom" | "seconds" | "tokensPerSecond"> {
  const computed = (chunks - resumedFrom) * context;
  const tokensPerSecond = seconds > 0 ? computed / seconds : 0;
  return { chunks, tokens: chunks * context, resumedFrom, seconds, tokensPerSecond };
}

/** Writes the statistics of a run that has come to its end, and warns of what they lack. */
export async function writeCollected(
  options: Settings,
  { run: _, window: __, ...own }: Imatrix,
  merged: readonly Imatrix[],
): Promise<Pick<ImatrixResult, "output" | "format" | "tensors" | "coverage">> {
  const { output, format = formatOf(output) } = options;
  const named = { ...own, datasets: [options.dataset ?? shownName(options.text)] };
  const sum = { ...named, ...mergedWith(named, merged), priorWeight: options.priorWeight };
  const converted = format === "dat" ? withPrior(sum, options.priorWeight ?? 0) : sum;
  await writeImatrixFile(output, converted, format);
  // The engine's process asks for itself; here it is asked for the user.
  for (const text of [coverageWarning(sum), loadReduceModule().examine().warning]) {
    if (text !== undefined) {
      options.onWarning?.(text);
    }
  }
  return { output, format, tensors: sum.entries.size, coverage: expertCoverage(sum) };
}

/** The error for a run that the user stopped: says whether something was kept. */
function stopped(output: string, checkpoint: string, cause: CancelledError): CancelledError {
  if (!existsSync(checkpoint)) {
    return cause;
  }
  return new CancelledError(
    `${output}: stopped. Statistics up to the last saving are in ${checkpoint}; the same command goes on from there.`,
    { file: output, checkpoint },
    { cause },
  );
}

/** The files to add. Throws a UsageError if one has an entry that no tensor of the model can have. */
async function readMerged(
  { model, merge = [], onWarning }: Settings,
  source: ModelSource,
): Promise<Imatrix[]> {
  if (merge.length === 0) {
    return [];
  }
  const merged = await Promise.all(merge.map(readImatrixFile));
  const names = new Set(source.tensors.map(({ name }) => name));
  for (const imatrix of merged) {
    const missing = routedWithoutImportance(imatrix, source.tensors);
    const stranger = [...imatrix.entries.keys()].find((name) => !names.has(name) && name !== "output.weight");
    if (stranger !== undefined) {
      throw new UsageError(
        `${imatrix.name}: entry "${stranger}" is of no tensor of ${shownName(model)}; it is the imatrix of another model and cannot be merged.`,
        { file: imatrix.name, tensor: stranger },
      );
    }
    if (missing.length > 0) {
      onWarning?.(
        `${imatrix.name}: has nothing about ${missing.length} tensors of routed experts (the first is ${missing[0]}); they get the statistics of the other texts alone.`,
      );
    }
  }
  return merged;
}

/** How the machines of a queue are used; progress says who has done how much. */
function queueRun(options: Settings, settings: QueueSettings, engine: Engine, source: ModelSource): QueueRun {
  const { model: path, gpuLayers, onProgress, onWarning } = options;
  let machines = "";
  return {
    ...jobOptions(options, 1)(1),
    ...{ engine, settings, source, path, gpuLayers, onWarning },
    onEvent: ({ done, total }) =>
      onProgress?.({ step: "imatrix", done, total, unit: "chunks", ...(machines && { detail: machines }) }),
    onMachines: (description) => {
      machines = description;
    },
  };
}

function mergedWith(own: Imatrix, others: readonly Imatrix[]): Imatrix {
  return others.length === 0 ? own : mergeImatrices([...others, own], own.chunkSize);
}

/** What can be known to fail is found out before the hours of work. */
export async function checkPaths(options: Settings): Promise<void> {
  const { model, text, output, moments, activations, merge = [] } = options;
  await checkText(text, options.onWarning);
  const unfinished = activations && unfinishedPath(activations);
  await checkOutputs(
    [output, checkpointPath(output), moments, activations, unfinished],
    [model, text, ...merge],
  );
  const trial = await OutputFile.create(output, 0);
  await trial.discard();
}
