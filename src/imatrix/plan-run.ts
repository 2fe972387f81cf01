/** A run over a calibration text before it begins: the text, the windows, what is collected of each, and where it goes. */
import type { RunProgress } from "../activations/run-text.js";
import { sourceIdentity } from "../activations/source-identity.js";
import { planSweep } from "../activations/window-plan.js";
import type { ResolvedOptionsOf } from "../contract/command.js";
import type { Engine } from "../engine/engine.js";
import { type GraphicsMemory, graphicsFor } from "../engine/gpus.js";
import { memoryLimitBytes } from "../engine/limits.js";
import { asPlainText } from "../generate/rendered-conversations.js";
import { planPrediction, runTensors } from "../model/prediction-facts.js";
import { layerOf } from "../model/roles.js";
import type { ModelSource } from "../model/source.js";
import type { MomentsPass } from "../moments/collect-job.js";
import { besideActivations } from "../moments/inputs.js";
import { planPasses } from "../moments/passes.js";
import { type MomentsOptions, planInputs } from "../moments/plan.js";
import { readPlainText, tokensOf } from "../text/text.js";
import type { PlainText } from "../text/text-input.js";
import { varietyWarning } from "../text/variety.js";
import { checkpointPath } from "./checkpoint.js";
import type { CollectParams } from "./collect-job.js";
import type { imatrixCommand } from "./imatrix-command.js";
import { keptParams } from "./kept.js";

type Settings = ResolvedOptionsOf<typeof imatrixCommand>;

/** What a run is made of. */
export interface PlannedRun {
  readonly params: CollectParams;
  /** Passes over the text that the moments take, or what each window collects; none without moments. */
  readonly passes: readonly (MomentsPass | undefined)[];
}

/** Part of the machine's memory that moments take unless told otherwise; the model has the rest. */
const momentsShare = 0.25;

/** Plans a run and warns of what the user should know of it. Errors: see `imatrix`. */
export async function planRun(options: Settings, source: ModelSource, engine: Engine): Promise<PlannedRun> {
  const { ctx: context, chunks, parseSpecial, signal } = options;
  const tokens = tokensOf({ context, chunks });
  const text = await asPlainText(options.text, source, { parseSpecial, tokens, signal });
  const oneKind = options.moments && varietyWarning(await readPlainText(text, tokens));
  const params = await collectParams(options, text, source, await graphicsFor(engine, options));
  for (const warning of [oneKind, params.model.note]) {
    if (warning !== undefined) {
      options.onWarning?.(warning);
    }
  }
  return { params, passes: momentsPasses(options, params, source) };
}

function momentsPasses(
  options: Settings,
  params: CollectParams,
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

/** How the job of a pass over the text is run, and told about. */
export function jobOptions({ onProgress, signal }: Settings, passes: number) {
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

function wantedMoments({ momentsOf, momentsPerExpert, activations }: Settings): MomentsOptions {
  const others = activations === undefined ? undefined : besideActivations;
  return { kinds: momentsOf ?? others, perExpert: momentsPerExpert };
}

async function collectParams(
  options: Settings,
  text: PlainText,
  source: ModelSource,
  graphics: GraphicsMemory | undefined,
): Promise<CollectParams> {
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
    checkpoint: checkpointPath(options.output),
    saveEvery: options.outputFrequency,
    kept: keptParams(options, source),
  };
}
