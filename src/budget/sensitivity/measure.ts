/** `sensitivity`: how much an error in each tensor costs the model, measured by putting noise on its weights. */
import { createHash } from "node:crypto";
import { sourceIdentity } from "../../activations/source-identity.js";
import type { SweptModel } from "../../activations/sweep.js";
import { planSweep } from "../../activations/window-plan.js";
import { runWithWindows } from "../../activations/window-server.js";
import { shownName } from "../../bytes/address.js";
import { writeTextFile } from "../../bytes/atomic-write.js";
import { checkOutputs } from "../../bytes/overwriting.js";
import type { ResolvedOptionsOf } from "../../contract/command.js";
import { Engine } from "../../engine/engine.js";
import { graphicsFor } from "../../engine/gpus.js";
import type { ModelOptions } from "../../engine/model.js";
import { UsageError } from "../../errors.js";
import type { Estimate } from "../../evaluate/statistics.js";
import { asPlainText } from "../../generate/rendered-conversations.js";
import type { Imatrix } from "../../imatrix/imatrix.js";
import { importanceFor, loadImportance } from "../../imatrix/load-importance.js";
import { expertShares } from "../../imatrix/rare-experts.js";
import { openModel, openModelToRun } from "../../model/open.js";
import { type Role, roleOf } from "../../model/roles.js";
import { type ModelSource, rowCount, type SourceTensor } from "../../model/source.js";
import type { TypeName } from "../../quants/types.js";
import { isQuantizable } from "../../recipe/quantizable.js";
import { checkText, tokensOf } from "../../text/text.js";
import type { PlainText } from "../../text/text-input.js";
import { version } from "../../version.js";
import { ErrorCache } from "../measurement-cache.js";
import { modelFingerprint } from "../model-fingerprint.js";
import { sensitivityFormat } from "./file.js";
import { identifyText, measureSensitivity, type SensitivityEvent, type SensitivityOutcome } from "./job.js";
import { canPerturb, type TensorToPerturb } from "./noise.js";
import { measureQuantized } from "./quantized-job.js";
import { type SensitivityOptions, sensitivityCommand } from "./sensitivity-command.js";
import { SweepCheckpoint } from "./sweep-checkpoint.js";
import { sweepSensitivity } from "./sweep-job.js";

type Settings = ResolvedOptionsOf<typeof sensitivityCommand>;

export interface MeasuredTensor {
  readonly name: string;
  readonly role: Role;
  /** Nats of KL divergence for each unit of relative error. */
  readonly alpha: number;
  /** Standard error of alpha, over the positions of the text. */
  readonly alphaError: number;
  /** With `quantized`: its type there, and the KL divergence that its error costs, in nats. */
  readonly type?: TypeName;
  readonly cost?: number;
}

/** Relative sizes of the noise. */
export interface Noise {
  /** On all tensors, all the time. */
  readonly background: number;
  /** On one tensor, in addition. */
  readonly added: number;
}

/**
 * By noise in the whole model, tensor after tensor; in one sweep over the layers of a model larger than memory; or by the
 * errors of a quantization.
 */
export type SensitivityMethod = "whole" | "sweep" | "quantized";

export interface SensitivityResult {
  readonly output: string;
  readonly chunks: number;
  readonly method: SensitivityMethod;
  /** Undefined if there was none. */
  readonly noise?: Noise;
  /** Mean KL divergence of the model with noise on all tensors, or of the quantization. */
  readonly backgroundKld: number;
  readonly tensors: readonly MeasuredTensor[];
  /**
   * Tensors that may be quantized and were not measured: the computation does not use them (layers that predict
   * further tokens), or their type cannot be written back. Plans take their defaults.
   */
  readonly unmeasured: readonly string[];
  readonly seconds: number;
}

/** The background is about what three-bit types do; the added noise is what the smallest ones do, and a bit more. */
const noise: Noise = { background: 0.02, added: 0.12 };

/**
 * Puts a little noise of known size on all tensors of the loaded model, and more on one tensor at a time; what that
 * adds to the KL divergence from the model without noise, over the size of the added noise, is the tensor's
 * sensitivity. A model that does not fit in memory is measured in one sweep over its layers, from disturbances of the
 * residual stream (`sweep-job.ts`). Sizes are weighted by importance as in `plan`, if there is an imatrix. Unfinished
 * work is kept beside the output and continued by the next run with the same model, text and options.
 *
 * With `quantized`, a quantization of the model, there is no noise: its tensors are made the model's own one at a time
 * (`quantized-job.ts`), and the file also says what each one's error costs, which `plan` takes for its errors as they are.
 *
 * Throws a UsageError if options make no sense, the text is too short, or imatrix or quantization are of another model;
 * other errors as in `perplexity`.
 */
export async function sensitivity(request: SensitivityOptions): Promise<SensitivityResult> {
  const started = performance.now();
  const options = sensitivityCommand.read(request);
  const partial = partialPath(options);
  await checkText(options.text, options.onWarning);
  const { model: given, text, imatrix: imatrixPath, quantized } = options;
  await checkOutputs([options.output, partial], [given, text, imatrixPath, quantized]);
  const source = await openModelToRun(options.model, { signal: options.signal });
  const engine = options.engine ?? new Engine();
  try {
    const { parseSpecial, ctx: context, chunks: most, signal } = options;
    const tokens = tokensOf({ context, chunks: most });
    const plainText = await asPlainText(text, source, { parseSpecial, tokens, signal });
    const imatrix = await loadImportance(options, source.tensors);
    const fingerprint = await modelFingerprint(source);
    const all = source.tensors.filter(({ name, shape }) => isQuantizable(name, shape));
    const tensors = perturbable(all, options);
    const graphics = await graphicsFor(engine, options);
    const model = planSweep(source, options.model, { ...options, graphics, needsOutput: true });
    if (model.note !== undefined) {
      options.onWarning?.(model.note);
    }
    const solution =
      quantized === undefined
        ? undefined
        : await readQuantized(quantized, { name: options.model, fingerprint, model });
    const measured = model.windows
      ? await measureInSweep(engine, options, plainText, source, model, tensors, imatrix, fingerprint)
      : await measureWhole(engine, options, plainText, model, tensors, imatrix, fingerprint, solution);
    const { chunks, background } = measured.outcome;
    const method: SensitivityMethod =
      quantized !== undefined ? "quantized" : model.windows ? "sweep" : "whole";
    const known = new Set(measured.tensors.map(({ name }) => name));
    const unmeasured = all.map(({ name }) => name).filter((name) => !known.has(name));
    const result = {
      chunks,
      method,
      ...(quantized === undefined && { noise }),
      backgroundKld: background.mean,
      tensors: measured.tensors,
      unmeasured,
    };
    const file = { format: sensitivityFormat, version, fingerprint, ...result };
    await writeTextFile(options.output, `${JSON.stringify(file, undefined, 1)}\n`);
    new SweepCheckpoint(partial, "").remove();
    return { output: options.output, ...result, seconds: (performance.now() - started) / 1000 };
  } finally {
    if (options.engine === undefined) {
      await engine.close();
    }
    await source.close();
  }
}

/** The tensors that noise can be put on. Throws a UsageError if there are none. */
function perturbable(tensors: readonly SourceTensor[], { model, onWarning }: Settings): SourceTensor[] {
  const possible = tensors.filter(({ type }) => canPerturb(type));
  const [first] = tensors.filter(({ type }) => !canPerturb(type));
  if (first === undefined) {
    return possible;
  }
  const advice = "measure the sensitivity of the F16, BF16 or Q8_0 file";
  if (possible.length === 0) {
    throw new UsageError(
      `${shownName(model)}: ${first.name} is ${first.type}, which Lopsided cannot write back, and so is all else; ${advice}.`,
      { tensor: first.name, type: first.type },
    );
  }
  onWarning?.(
    `${tensors.length - possible.length} tensors are of types that Lopsided cannot write back (${first.name}: ${first.type}) and are not measured: plans go by their role and depth, or ${advice}.`,
  );
  return possible;
}

interface Measured {
  readonly outcome: Omit<SensitivityOutcome, "unused">;
  readonly tensors: readonly MeasuredTensor[];
}

/** A quantization of the model. */
interface Quantized {
  readonly path: string;
  /** What stands for its contents. */
  readonly identity: string;
  /** Its tensors' types by name. */
  readonly types: ReadonlyMap<string, TypeName>;
}

/** Whether the errors of a quantization of a model can be measured here: whether the model fits in memory. */
export async function fitsQuantized(
  path: string,
  options: Pick<Settings, "gpuLayers" | "gpuMemory" | "signal"> & { readonly engine: Engine },
): Promise<boolean> {
  const source = await openModelToRun(path, { signal: options.signal });
  try {
    const graphics = await graphicsFor(options.engine, options);
    return planSweep(source, path, { ...options, graphics, needsOutput: true }).windows === undefined;
  } finally {
    await source.close();
  }
}

/** Throws a UsageError if a file is no quantization of the model, or the model is too large to be measured with one. */
async function readQuantized(
  path: string,
  { name, fingerprint, model }: { name: string; fingerprint: string; model: SweptModel },
): Promise<Quantized> {
  if (model.windows) {
    throw new UsageError(
      `${shownName(name)}: does not fit in memory, where the errors of \`quantized\` are measured; measure it without, by noise.`,
    );
  }
  const quantized = await openModel(path);
  try {
    if ((await modelFingerprint(quantized)) !== fingerprint) {
      throw new UsageError(
        `${shownName(path)}: is no quantization of ${shownName(name)} with the same tensors; give one that \`quantize\` made of it.`,
        { file: path },
      );
    }
    const types = new Map(quantized.tensors.map(({ name, type }) => [name, type]));
    return { path, identity: await sourceIdentity(quantized), types };
  } finally {
    await quantized.close();
  }
}

/** Measures tensor after tensor in the loaded model; what is measured is kept at once. */
async function measureWhole(
  engine: Engine,
  options: Settings,
  text: PlainText,
  model: SweptModel,
  tensors: readonly SourceTensor[],
  imatrix: Imatrix | undefined,
  fingerprint: string,
  quantized: Quantized | undefined,
): Promise<Measured> {
  const params = paramsOf(options, text, model.whole);
  const run = await runName(engine, options, params, fingerprint, imatrix, quantized);
  const known = await ErrorCache.open(partialPath(options));
  try {
    const outcome = await measureMissing(tensors, imatrix, known, run, engine, params, options);
    const unused = new Set(outcome.unused);
    const types = quantized?.types;
    const used = tensors.filter(({ name, type }) => !unused.has(name) && types?.get(name) !== type);
    return {
      outcome,
      tensors: used.map(({ name }) => knownResult(name, known, run, types?.get(name))),
    };
  } finally {
    await known.close();
  }
}

/** Measures all tensors in one sweep over the layers. */
async function measureInSweep(
  engine: Engine,
  options: Settings,
  text: PlainText,
  source: ModelSource,
  model: SweptModel,
  tensors: readonly SourceTensor[],
  imatrix: Imatrix | undefined,
  fingerprint: string,
): Promise<Measured> {
  const { onProgress, signal } = options;
  const checkpoint = { path: partialPath(options), identity: identityOf(options, fingerprint, imatrix) };
  const tasks = tensors.map((tensor) => ({ ...taskOf(tensor, imatrix, options), isWanted: true }));
  const params = { ...paramsOf(options, text, model.whole), ...noise, model, tensors: tasks, checkpoint };
  const outcome = await runWithWindows(engine, sweepSensitivity, params, [source], {
    signal,
    onEvent: ({ done, total }) => onProgress?.({ step: "sensitivity", done, total, unit: "passes" }),
  });
  const found = new Map(outcome.tensors.map((tensor) => [tensor.name, tensor]));
  return {
    outcome,
    tensors: tensors.flatMap(({ name }) => {
      const event = found.get(name);
      return event ? [resultOf(name, event.error, event.growth)] : [];
    }),
  };
}

/** Where unfinished work is kept. */
function partialPath({ output }: Pick<Settings, "output">): string {
  return `${output}.partial`;
}

function paramsOf({ ctx: context, chunks, rounds, threads }: Settings, text: PlainText, model: ModelOptions) {
  return { model, text, context, chunks, rounds, threads };
}

/** Stands for all that a measurement depends on besides the tensor and the level. */
async function runName(
  engine: Engine,
  options: Settings,
  params: ReturnType<typeof paramsOf>,
  fingerprint: string,
  imatrix: Imatrix | undefined,
  quantized: Quantized | undefined,
): Promise<string> {
  const tokens = await engine.run(identifyText, params, { signal: options.signal });
  const identity = identityOf(options, fingerprint, imatrix);
  const errors = quantized?.identity ?? noise;
  return createHash("sha256")
    .update(JSON.stringify([identity, tokens, params.context, params.rounds, errors]))
    .digest("hex");
}

/** Stands for the model and the importance of its columns. */
function identityOf({ priorWeight }: Settings, fingerprint: string, imatrix: Imatrix | undefined): string {
  const hash = createHash("sha256").update(JSON.stringify([fingerprint, priorWeight]));
  for (const [name, { sums }] of imatrix?.entries ?? []) {
    hash.update(name).update(new Uint8Array(sums.buffer, sums.byteOffset, sums.byteLength));
  }
  return hash.digest("hex");
}

type Quantity = "growth" | "growth error" | "error";

/** Names what is kept of a tensor's measurement. */
function keyOf(run: string, name: string, quantity: Quantity): string {
  return createHash("sha256").update(`${run} ${name} ${quantity}`).digest("hex").slice(0, 40);
}

/** Measures what is not known yet. */
async function measureMissing(
  tensors: readonly SourceTensor[],
  imatrix: Imatrix | undefined,
  known: ErrorCache,
  run: string,
  engine: Engine,
  params: ReturnType<typeof paramsOf>,
  options: Settings,
): Promise<SensitivityOutcome> {
  const tasks = tensors.map((tensor) => ({
    ...taskOf(tensor, imatrix, options),
    isWanted: known.get(keyOf(run, tensor.name, "error")) === undefined,
  }));
  const total = tensors.length;
  let done = tasks.filter(({ isWanted }) => !isWanted).length;
  const writes: Promise<void>[] = [];
  const onEvent = ({ name, error, growth }: SensitivityEvent) => {
    done++;
    options.onProgress?.({ step: "sensitivity", done, total, unit: "tensors", detail: name });
    const entries = [
      ["growth", Math.max(0, growth.mean)],
      ["growth error", growth.error],
      ["error", error],
    ] as const;
    writes.push(known.add(new Map(entries.map(([quantity, value]) => [keyOf(run, name, quantity), value]))));
  };
  const { quantized, signal } = options;
  try {
    return quantized === undefined
      ? await engine.run(measureSensitivity, { ...params, ...noise, tensors: tasks }, { onEvent, signal })
      : await engine.run(measureQuantized, { ...params, quantized, tensors: tasks }, { onEvent, signal });
  } finally {
    await Promise.all(writes);
  }
}

function taskOf(
  tensor: SourceTensor,
  imatrix: Imatrix | undefined,
  options: Settings,
): Omit<TensorToPerturb, "isWanted"> {
  const { name, type, shape } = tensor;
  const importance = imatrix && importanceFor(imatrix, tensor, options);
  const matrices = rowCount(shape) / (shape[1] ?? 1);
  const shares = expertShares(imatrix, importance, matrices);
  const experts = importance?.experts.map((values, expert) => ({
    importance: values,
    share: shares[expert] ?? 1,
  }));
  return { name, type, shape, experts };
}

function knownResult(
  name: string,
  known: ErrorCache,
  run: string,
  type: TypeName | undefined,
): MeasuredTensor {
  const value = (quantity: Quantity) => known.get(keyOf(run, name, quantity)) ?? 0;
  const size = value("error");
  const result = resultOf(name, size, { mean: value("growth"), error: value("growth error") });
  return type === undefined ? result : { ...result, type, cost: result.alpha * size };
}

/**
 * What did not measurably cost anything may still cost as much as could not be seen: a sensitivity is at least half
 * its standard error.
 */
function resultOf(name: string, size: number, growth: Estimate): MeasuredTensor {
  const error = size || noise.added;
  const alphaError = growth.error / error;
  const alpha = Math.max(growth.mean / error, alphaError / 2);
  return { name, role: roleOf(name), alpha, alphaError };
}
