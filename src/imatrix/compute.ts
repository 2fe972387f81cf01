/** Computing the importance matrix of a model from a calibration text: the whole of the `imatrix` command. */

import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { RunProgress } from "../activations/run-text.js";
import { sourceIdentity } from "../activations/source-identity.js";
import { planSweep } from "../activations/window-plan.js";
import { runWithWindows } from "../activations/window-server.js";
import { shownName } from "../bytes/address.js";
import { OutputFile } from "../bytes/output.js";
import { checkOutputs } from "../bytes/overwriting.js";
import type { ResolvedOptionsOf } from "../contract/command.js";
import { Engine } from "../engine/engine.js";
import { type GraphicsMemory, graphicsFor } from "../engine/gpus.js";
import { memoryLimitBytes } from "../engine/limits.js";
import { CancelledError, UsageError } from "../errors.js";
import { asPlainText } from "../generate/rendered-conversations.js";
import { finishKept, unfinishedPath } from "../kept/writer.js";
import { openModelToRun } from "../model/open.js";
import { planPrediction, runTensors } from "../model/prediction-facts.js";
import { layerOf } from "../model/roles.js";
import type { ModelSource } from "../model/source.js";
import type { MomentsPass } from "../moments/collect-job.js";
import { collectMoments } from "../moments/collect-job.js";
import { type MomentsCoverage, momentsWarning } from "../moments/coverage.js";
import { besideActivations } from "../moments/inputs.js";
import { isDone, joinPasses, planPasses } from "../moments/passes.js";
import { type MomentsOptions, planInputs } from "../moments/plan.js";
import { type QueueSettings, queueSettings } from "../queue/settings.js";
import { loadReduceModule } from "../reduce/load.js";
import { checkText, readPlainText, tokensOf } from "../text/text.js";
import type { PlainText } from "../text/text-input.js";
import { varietyWarning } from "../text/variety.js";
import { checkpointPath } from "./checkpoint.js";
import { collectImatrix, streamPath } from "./collect-job.js";
import { collectOnQueue, type QueueRun } from "./collect-on-queue.js";
import { coverageWarning, type ExpertCoverage, expertCoverage } from "./coverage.js";
import { readImatrixFile, writeImatrixFile } from "./file.js";
import type { Imatrix, ImatrixFormat } from "./imatrix.js";
import { type ImatrixOptions, imatrixCommand } from "./imatrix-command.js";
import { withPrior } from "./importance.js";
import { describeKept, type KeptCoverage, keptParams } from "./kept.js";
import { routedWithoutImportance } from "./load-importance.js";
import { mergeImatrices } from "./merge.js";

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

/** Part of the machine's memory that moments take unless told otherwise; the model has the rest. */
const momentsShare = 0.25;

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
  const { ctx: context, format = options.output.endsWith(".dat") ? "dat" : "gguf" } = options;
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
    const tokens = tokensOf({ context, chunks: options.chunks });
    const { parseSpecial, signal } = options;
    const text = await asPlainText(options.text, source, { parseSpecial, tokens, signal });
    const oneKind = options.moments && varietyWarning(await readPlainText(text, tokens));
    if (oneKind !== undefined) {
      options.onWarning?.(oneKind);
    }
    const merged = await readMerged(options, source);
    const graphics = await graphicsFor(engine, options);
    const params = await collectParams(options, text, source, checkpoint, graphics);
    if (params.model.note !== undefined) {
      options.onWarning?.(params.model.note);
    }
    const passes = momentsPasses(options, params, source);
    const inWindows = params.model.windows !== undefined;
    const missing = await Promise.all(
      passes.map(async (pass) => (pass && (await isDone(pass)) ? undefined : pass)),
    );
    const moments = options.moments === undefined ? undefined : inWindows ? missing : missing.slice(0, 1);
    const running = runOptions(options, inWindows ? 1 : passes.length);
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
    const { run: _, window: __, ...own } = await readImatrixFile(checkpoint);
    const activations = params.kept && (await describeKept(params.kept, own));
    if (params.kept && activations) {
      await finishKept(params.kept.path, activations.hidden);
    }
    const named = { ...own, datasets: [options.dataset ?? shownName(options.text)] };
    const sum = { ...named, ...mergedWith(named, merged), priorWeight: options.priorWeight };
    const converted = format === "dat" ? withPrior(sum, options.priorWeight ?? 0) : sum;
    await writeImatrixFile(options.output, converted, format);
    await rm(checkpoint, { force: true });
    await rm(streamPath(checkpoint), { force: true });
    const warning = coverageWarning(sum);
    const momentsTooThin = momentsCoverage && momentsWarning(momentsCoverage);
    for (const text of [warning, momentsTooThin, loadReduceModule().warning]) {
      if (text !== undefined) {
        options.onWarning?.(text);
      }
    }
    const computed = (collected.chunks - collected.resumedFrom) * context;
    return {
      output: options.output,
      format,
      chunks: collected.chunks,
      tokens: collected.chunks * context,
      resumedFrom: collected.resumedFrom,
      tensors: sum.entries.size,
      coverage: expertCoverage(sum),
      ...(momentsCoverage && {
        moments: { ...momentsCoverage, output: options.moments ?? "", passes: written.length },
      }),
      ...(activations && { activations: activations.coverage }),
      seconds: collected.seconds,
      tokensPerSecond: collected.seconds > 0 ? computed / collected.seconds : 0,
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

/** Passes over the text that the moments take, or what each window collects; none without moments. */
function momentsPasses(
  options: Settings,
  params: Awaited<ReturnType<typeof collectParams>>,
  source: ModelSource,
): (MomentsPass | undefined)[] {
  const { moments, model, maxMemory = momentsShare * memoryLimitBytes() } = options;
  if (moments === undefined) {
    return [];
  }
  const { identity, text, context, chunks } = params;
  const run = {
    ...wantedMoments(options),
    output: moments,
    model,
    identity,
    text: text.path,
    context,
    chunks,
    parseSpecial: text.parseSpecial,
    memory: maxMemory,
  };
  return planPasses(runTensors(source, params.model.prediction), run, params.model.windows?.ranges);
}

function runOptions({ onProgress, signal }: Settings, passes: number) {
  return (pass: number) => ({
    onEvent: ({ done, total, layers }: RunProgress) => {
      const detail = [
        ...(passes > 1 ? [`pass ${pass} of ${passes}`] : []),
        ...(layers ? [`layers ${layers.from} to ${layers.to - 1} of ${layers.of}`] : []),
      ].join(", ");
      onProgress?.({ step: "imatrix", done, total, unit: "chunks", ...(detail && { detail }) });
    },
    onLoad: (path: string, fraction: number) =>
      onProgress?.({ step: "load", done: Math.floor(100 * fraction), total: 100, unit: "%", detail: path }),
    signal,
  });
}

/** How the machines of a queue are used; progress says who has done how much. */
function queueRun(options: Settings, settings: QueueSettings, engine: Engine, source: ModelSource): QueueRun {
  const { model: path, gpuLayers, onProgress, onWarning } = options;
  let machines = "";
  return {
    ...runOptions(options, 1)(1),
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

function wantedMoments({ momentsOf, momentsPerExpert, activations }: Settings): MomentsOptions {
  const others = activations === undefined ? undefined : besideActivations;
  return { kinds: momentsOf ?? others, perExpert: momentsPerExpert };
}

async function collectParams(
  options: Settings,
  text: PlainText,
  source: ModelSource,
  checkpoint: string,
  graphics: GraphicsMemory | undefined,
) {
  const { processOutput = false, moments } = options;
  const prediction = options.mtp ? planPrediction(source) : undefined;
  const inputs = moments ? planInputs(runTensors(source, prediction), wantedMoments(options)) : [];
  return {
    model: planSweep(source, options.model, {
      ...options,
      prediction,
      graphics,
      needsOutput: processOutput,
      statisticsBytes: (layer) =>
        inputs
          .filter(({ weight }) => layerOf(weight) === layer)
          .reduce((sum, { byteLength }) => sum + byteLength, 0),
    }),
    identity: await sourceIdentity(source, options.text),
    text,
    context: options.ctx,
    chunks: options.chunks,
    processOutput,
    expertOutputs: options.expertOutputs ?? false,
    threads: options.threads,
    checkpoint,
    saveEvery: options.outputFrequency,
    kept: keptParams(options, source),
  };
}

/** What can be known to fail is found out before the hours of work. */
async function checkPaths(options: Settings): Promise<void> {
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
