/**
 * `scales`: after the codes, the scales. The rows of the routed experts' gate and up are multiplied by factors that make
 * the errors of a layer's experts cancel as well as they can; only the scales in F16 of their blocks change.
 */

import { sourceIdentity } from "../activations/source-identity.js";
import type { SweptModel } from "../activations/sweep.js";
import { planSweep } from "../activations/window-plan.js";
import { runWithWindows } from "../activations/window-server.js";
import { shownName } from "../bytes/address.js";
import { hiddenPath } from "../bytes/output.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { sha256OfFile } from "../bytes/sha256.js";
import { Engine } from "../engine/engine.js";
import { graphicsFor } from "../engine/gpus.js";
import { mirroredVersion } from "../engine/native.js";
import { defaultThreads } from "../engine/threads.js";
import { CancelledError, UsageError } from "../errors.js";
import { asPlainText } from "../generate/rendered-conversations.js";
import type { Metadata } from "../gguf/metadata.js";
import { openModelToRun } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import { loadLinearAlgebra, loadOutputAwareKernels } from "../quants/output-aware/load.js";
import { checkText, tokensOf } from "../text/text.js";
import { copyTensors } from "../write/copy-tensors.js";
import { planOutput } from "../write/output-plan.js";
import { fittedStreamPath, fittedStreams, type LayerScales, removeFit } from "./fit-checkpoint.js";
import { fitCostsOf } from "./fit-costs.js";
import { type FitOutcome, type FitParams, fitScales } from "./fit-job.js";
import { type FittedLayer, fittedLayersOf } from "./fitted-layers.js";
import { withFactors } from "./scaled-model.js";
import { type ScalesOptions, scalesCommand } from "./scales-command.js";

/** What became of a layer. */
export interface ScaledLayer extends Omit<LayerScales, "factors"> {
  /** Tensors whose scales changed; none if that would not have lowered the error. */
  readonly tensors: readonly string[];
}

export interface ScalesResult {
  /** The file to open: the only one, or the first of a set. */
  readonly output: string;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly bytes: number;
  readonly tokens: number;
  readonly layers: readonly ScaledLayer[];
  /** Layers that an interrupted run had done already. */
  readonly resumedFrom: number;
  readonly seconds: number;
}

/**
 * Fits the scales of a quantized model's routed experts to its source, and writes the model with them. What is done
 * of an unfinished run is kept beside the output, layer by layer, and gone on with by the next run with the same models,
 * text and options; it ends with the same file.
 *
 * Throws a UsageError for a model whose scales cannot be fitted, and says why; a MalformedInputError for damaged files, an
 * EnvironmentError if something cannot be read or written or llama.cpp fails, a CancelledError when stopped.
 */
export async function scales(given: ScalesOptions): Promise<ScalesResult> {
  const started = performance.now();
  const options = scalesCommand.read(given);
  const { output, calibration, ctx, chunks, parseSpecial = false, signal } = options;
  const unfinished = hiddenPath(output, "scales");
  await checkText(calibration, options.onWarning);
  await checkOutputs(
    [output, unfinished, ...fittedStreams.map((which) => fittedStreamPath(unfinished, which))],
    [options.model, options.source, calibration],
  );
  const engine = options.engine ?? new Engine();
  const models: ModelSource[] = [];
  try {
    const quantized = await openModelToRun(options.model, { signal });
    models.push(quantized);
    const source = await openModelToRun(options.source, { signal });
    models.unshift(source);
    const layers = layersOf(quantized, source);
    const graphics = await graphicsFor(engine, options);
    const plan = (model: ModelSource, path: string) =>
      oneByOne(planSweep(model, path, { ...options, graphics, layersPerWindow: 1, needsOutput: false }));
    const tokens = tokensOf({ context: ctx, chunks });
    const text = await asPlainText(calibration, source, { parseSpecial, tokens, signal });
    if (tokens !== undefined) {
      const { threads = defaultThreads() } = options;
      options.onNotice?.(fitCostsOf(source, layers, { tokens, threads }).sentence);
    }
    // The engine's process asks for itself; here it is asked for the user.
    loadLinearAlgebra();
    const { warning } = loadOutputAwareKernels();
    if (warning !== undefined) {
      options.onWarning?.(warning);
    }
    const params: FitParams = {
      source: plan(source, options.source),
      quantized: plan(quantized, options.model),
      layers,
      text,
      context: ctx,
      chunks,
      threads: options.threads,
      checkpoint: {
        path: unfinished,
        identity: (await Promise.all(models.map((model) => sourceIdentity(model, calibration)))).join(),
      },
    };
    const outcome = await runWithWindows(engine, fitScales, params, models, listenersOf(options));
    const files = await write(quantized, outcome, options);
    await removeFit(unfinished);
    return {
      output: files[0]?.path ?? output,
      files,
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
      tokens: outcome.tokens,
      layers: outcome.layers.map(({ factors, ...layer }) => ({ ...layer, tensors: Object.keys(factors) })),
      resumedFrom: outcome.resumedFrom,
      seconds: (performance.now() - started) / 1000,
    };
  } catch (error) {
    throw error instanceof CancelledError ? stopped(output, error) : error;
  } finally {
    await Promise.all(models.map((model) => model.close()));
    if (options.engine === undefined) {
      await engine.close();
    }
  }
}

function stopped(output: string, cause: CancelledError): CancelledError {
  return new CancelledError(
    `${output}: stopped. The layers that are done are kept; the same command goes on from there.`,
    { file: output },
    { cause },
  );
}

/** Throws a UsageError unless the scales of a layer can be fitted, and the source has the same layers. */
function layersOf(quantized: ModelSource, source: ModelSource): readonly FittedLayer[] {
  const layers = fittedLayersOf(quantized);
  const [name, other] = [quantized.name, source.name].map(shownName);
  if (typeof layers === "string") {
    throw new UsageError(`${name}: ${layers}, so that its scales cannot be fitted; use it as it is.`, {
      model: quantized.name,
    });
  }
  const names = new Set(source.tensors.map((tensor) => tensor.name));
  const missing = layers.flatMap(({ gate, down }) => [gate, down]).find(({ tensor }) => !names.has(tensor));
  if (missing !== undefined) {
    throw new UsageError(
      `${other}: has no tensor ${missing.tensor}; name the model that ${name} was made from.`,
      {
        model: source.name,
        tensor: missing.tensor,
      },
    );
  }
  return layers;
}

/** The next layer is not read ahead: two layers of the source would be the most that is in memory. */
function oneByOne(model: SweptModel): SweptModel {
  return model.windows ? { ...model, windows: { ...model.windows, loadsAhead: false } } : model;
}

/** Writes the model with its new scales. */
async function write(
  source: ModelSource,
  { layers, tokens }: FitOutcome,
  options: ReturnType<typeof scalesCommand.read>,
) {
  const factors = new Map(layers.flatMap((layer) => Object.entries(layer.factors)));
  const metadata: Metadata = new Map([...source.metadata, ...(await provenanceOf(tokens, options))]);
  const plan = planOutput({
    source,
    output: options.output,
    splitMaxSize: options.splitMaxSize,
    tensors: source.tensors.map((tensor) => ({
      source: withFactors(tensor, factors.get(tensor.name)),
      type: tensor.type,
    })),
    metadata: () => metadata,
  });
  await copyTensors(plan, options);
  return plan.map(({ path, layout }) => ({ path, bytes: layout.byteLength }));
}

/** Bytes that a file's header grows by at most. */
export const scalesHeaderBytes = 640;

/** How the scales came about. The streams depend on the library, and in their last digits on the machine. */
async function provenanceOf(
  tokens: number,
  { calibration, dataset = shownName(calibration) }: ReturnType<typeof scalesCommand.read>,
): Promise<Metadata> {
  return new Map([
    [
      "lopsided.scales",
      {
        type: "string",
        value: `routed gate and up, fitted to the residual stream on ${tokens} tokens of ${dataset}, llama.cpp ${mirroredVersion}`,
      },
    ],
    ["lopsided.scales.text.sha256", { type: "string", value: await sha256OfFile(calibration) }],
  ]);
}

function listenersOf({ onProgress, signal }: Pick<ScalesOptions, "onProgress" | "signal">) {
  return {
    onEvent: ({ done, total, layer }: { done: number; total: number; layer: number }) =>
      onProgress?.({
        step: "scales",
        done: Math.floor((100 * done) / total),
        total: 100,
        unit: "%",
        detail: `layer ${layer}`,
      }),
    signal,
  };
}
