/** Runs models over texts in one sweep: what `perplexity` and `compare` share. */
import { sourceIdentity } from "../activations/source-identity.js";
import { planSweep } from "../activations/window-plan.js";
import { runWithWindows } from "../activations/window-server.js";
import { shownName } from "../bytes/address.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { Engine } from "../engine/engine.js";
import { type GraphicsMemory, graphicsFor } from "../engine/gpus.js";
import { InternalError } from "../errors.js";
import {
  isConversations,
  readConversations,
  renderConversations,
} from "../generate/rendered-conversations.js";
import { openModelToRun } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import type { OnProgress } from "../progress.js";
import type { QueueSettings } from "../queue/settings.js";
import { calibrationSketchOf } from "../text/calibration-sketch.js";
import type { NamedText } from "../text/named-text.js";
import type { TextInput } from "../text/text-input.js";
import { mostCalibratedOn } from "../text/text-sketch.js";
import { type MeasureResult, measure } from "./measure-job.js";
import { type MeasureQueueRun, measureOnQueue } from "./measure-on-queue.js";
import type { MeasuredText, MeasuredTexts } from "./scores.js";

export interface MeasureModelsOptions {
  /** Paths; at least one. */
  readonly models: readonly string[];
  readonly reference?: string | undefined;
  readonly texts: readonly NamedText[];
  /** Importance matrix that the models were made with; each one's own by default, if it lies beside the model. */
  readonly imatrix?: string | undefined;
  readonly parseSpecial?: boolean | undefined;
  /** Tokens in a chunk. */
  /** Find the floor too, how far the reference is from itself: true by default. */
  readonly floor?: boolean | undefined;
  readonly ctx: number;
  /** Most chunks of each text. */
  readonly chunks?: number | undefined;
  /** Path of a base file to compare with, and of one to write. */
  readonly base?: string | undefined;
  readonly save?: string | undefined;
  /** Paths of what the caller will write: none may be an importance matrix that is found beside a model. */
  readonly outputs?: readonly string[] | undefined;
  /** Where unfinished work is kept: the same run goes on from there. Nowhere by default. */
  readonly checkpoint?: string | undefined;
  readonly threads?: number | undefined;
  readonly gpuLayers?: number | undefined;
  readonly gpuMemory?: number | undefined;
  readonly maxMemory?: number | undefined;
  readonly layersPerWindow?: number | undefined;
  readonly ignoreMemoryLimit?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly engine?: Engine | undefined;
  /** The queue whose machines measure too. */
  readonly machines?: QueueSettings | undefined;
}

export interface MeasuredModels extends Omit<MeasureResult, "measured"> {
  /** Of each model. */
  readonly measured: readonly [MeasuredTexts, ...MeasuredTexts[]];
}

/** Measures models on texts, against a reference if there is one. Errors: see `perplexity`. */
export async function measureModels(options: MeasureModelsOptions): Promise<MeasuredModels> {
  const { models, reference, texts, ctx, chunks, base, save, threads, checkpoint } = options;
  const engine = options.engine ?? new Engine();
  const sources: ModelSource[] = [];
  const paths = [...models, ...(reference === undefined ? [] : [reference])];
  try {
    for (const path of paths) {
      sources.push(await openModelToRun(path, { signal: options.signal }));
    }
    const calibrations = await calibrationsOf(options, sources);
    const foundBeside = calibrations.map((calibration) => calibration?.path);
    await checkOutputs([save, checkpoint, ...(options.outputs ?? [])], foundBeside);
    const swept = plansOf(options, paths, sources, await graphicsFor(engine, options));
    for (const { note } of swept) {
      if (note !== undefined) {
        options.onWarning?.(note);
      }
    }
    const params = {
      models: swept.slice(0, models.length),
      reference: swept[models.length],
      base,
      save,
      texts: await textInputs(texts, sources.at(-1), options),
      floor: options.floor ?? true,
      calibrations: calibrations.map((calibration) => calibration?.sketch),
      context: ctx,
      chunks,
      threads,
      checkpoint:
        checkpoint === undefined
          ? undefined
          : { path: checkpoint, identity: await identityOf(sources, base) },
    };
    const { measured, ...rest } = options.machines
      ? await measureOnQueue(params, queueRunOf(options, options.machines, { engine, sources, paths }))
      : await runWithWindows(engine, measure, params, sources, listenersOf(options));
    for (const [at, { texts: ofModel }] of measured.entries()) {
      warnOfCalibration(ofModel, models[at] ?? "", calibrations[at]?.name ?? "", options);
    }
    const [first, ...others] = measured;
    if (first === undefined) {
      throw new InternalError("no model was measured.");
    }
    return { ...rest, measured: [first, ...others] };
  } finally {
    await Promise.all(sources.map((source) => source.close()));
    if (options.engine === undefined) {
      await engine.close();
    }
  }
}

/** What each model was calibrated on. */
async function calibrationsOf({ models, imatrix }: MeasureModelsOptions, sources: readonly ModelSource[]) {
  return await Promise.all(
    models.map(async (path, at) => {
      const metadata = sources[at]?.metadata;
      return metadata && (await calibrationSketchOf(path, metadata, imatrix));
    }),
  );
}

function warnOfCalibration(
  texts: readonly MeasuredText[],
  model: string,
  imatrix: string,
  { onWarning }: MeasureModelsOptions,
): void {
  for (const { name, calibratedOn = 0 } of texts) {
    if (calibratedOn >= mostCalibratedOn) {
      onWarning?.(
        `${name}: ${Math.round(100 * calibratedOn)} % of it is text that ${shownName(model)} was calibrated on (${imatrix}), so that it looks better there than elsewhere. Measure on another text.`,
      );
    }
  }
}

/** What stands for the contents of the models and a base file. */
async function identityOf(sources: readonly ModelSource[], base: string | undefined): Promise<string> {
  const others = base === undefined ? [] : [base];
  return JSON.stringify(await Promise.all(sources.map((source) => sourceIdentity(source, ...others))));
}

/** Conversations are rendered by the template of the reference, or of the model if there is none. */
async function textInputs(
  texts: readonly NamedText[],
  source: ModelSource | undefined,
  { parseSpecial = false, chunks, signal }: MeasureModelsOptions,
): Promise<TextInput[]> {
  const inputs: TextInput[] = [];
  for (const text of texts) {
    if (isConversations(text.path) && source) {
      const lines = await readConversations(text.path, chunks);
      const conversations = await renderConversations(lines, source.metadata, source.name, signal);
      inputs.push({ ...text, parseSpecial: true, conversations });
    } else {
      inputs.push({ ...text, parseSpecial });
    }
  }
  return inputs;
}

function plansOf(
  options: MeasureModelsOptions,
  paths: readonly string[],
  sources: readonly ModelSource[],
  graphics: GraphicsMemory | undefined,
) {
  const { maxMemory, layersPerWindow, gpuLayers, ignoreMemoryLimit } = options;
  const total = sources.reduce((sum, { byteLength }) => sum + byteLength, 0);
  return sources.map((source, model) =>
    planSweep(source, paths[model] ?? source.name, {
      maxMemory,
      layersPerWindow,
      gpuLayers,
      graphics,
      ignoreMemoryLimit,
      needsOutput: true,
      modelsTogether: sources.length,
      otherBytes: total - source.byteLength,
    }),
  );
}

/** How the machines of a queue are used; progress says who has done how much. */
function queueRunOf(
  options: MeasureModelsOptions,
  settings: QueueSettings,
  run: Pick<MeasureQueueRun, "engine" | "sources" | "paths">,
): MeasureQueueRun {
  const { gpuLayers, onProgress, onWarning, signal } = options;
  let machines = "";
  return {
    ...{ ...run, settings, gpuLayers, onWarning, signal },
    onEvent({ done, total, ppl }) {
      const figures = ppl === undefined ? [] : [`perplexity ${ppl.toFixed(4)}`];
      const detail = [...figures, ...(machines ? [machines] : [])].join(", ");
      onProgress?.({ step: "perplexity", done, total, unit: "chunks", ...(detail && { detail }) });
    },
    onMachines(description) {
      machines = description;
    },
  };
}

function listenersOf({ onProgress, signal }: MeasureModelsOptions) {
  return {
    onEvent: ({ done, total, ppl }: { done: number; total: number; ppl: number | undefined }) => {
      const detail = ppl === undefined ? {} : { detail: `perplexity ${ppl.toFixed(4)}` };
      onProgress?.({ step: "perplexity", done, total, unit: "chunks", ...detail });
    },
    onLoad: (path: string, fraction: number) =>
      onProgress?.({ step: "load", done: Math.floor(100 * fraction), total: 100, unit: "%", detail: path }),
    signal,
  };
}
