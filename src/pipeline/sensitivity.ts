/** `sensitivity`: how much an error in each tensor costs the model, measured by putting noise on it. */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { OutputFile } from "../bytes/output.js";
import { Engine } from "../engine/engine.js";
import type { ModelOptions } from "../engine/model.js";
import { UsageError } from "../errors.js";
import {
  canPerturb,
  identifyText,
  measureSensitivity,
  type SensitivityEvent,
  type TensorToPerturb,
} from "../evaluate/sensitivity-job.js";
import { checkReadable } from "../evaluate/text.js";
import type { Imatrix } from "../imatrix/imatrix.js";
import { openGguf } from "../model/gguf-model.js";
import { type Role, roleOf } from "../model/roles.js";
import { rowCount, type SourceTensor } from "../model/source.js";
import type { OnProgress } from "../progress.js";
import { isQuantizable } from "../recipe/quantizable.js";
import { sensitivityFormat } from "../recipe/sensitivity.js";
import { version } from "../version.js";
import { ErrorCache } from "./error-cache.js";
import { expertShares } from "./expert-shares.js";
import { type ImportanceOptions, importanceFor, loadImportance } from "./importance.js";
import { modelFingerprint } from "./model-fingerprint.js";

export interface SensitivityOptions extends ImportanceOptions {
  /** Path of a GGUF file that llama.cpp runs, or of the first of a split set; the least quantized there is. */
  readonly model: string;
  /** Path of the text. */
  readonly text: string;
  /** Path of the JSON file to write. */
  readonly output: string;
  /** Tokens in a chunk; 512 by default. */
  readonly context?: number | undefined;
  /** Chunks to compare on; 8 by default. */
  readonly chunks?: number | undefined;
  /** Read control tokens such as `<|im_start|>` in the text as such. */
  readonly parseSpecial?: boolean | undefined;
  readonly threads?: number | undefined;
  /** Layers on graphics processors; all by default, if there are any. */
  readonly gpuLayers?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly engine?: Engine | undefined;
}

export interface MeasuredTensor {
  readonly name: string;
  readonly role: Role;
  /** Nats of KL divergence for each unit of relative error: the mean over the sizes of noise. */
  readonly alpha: number;
  /** The same for each size of noise: equal where the divergence is linear in the error. */
  readonly alphas: readonly number[];
}

export interface SensitivityResult {
  readonly output: string;
  readonly chunks: number;
  readonly tensors: readonly MeasuredTensor[];
  /** Relative sizes of the noise. */
  readonly levels: readonly number[];
  readonly seconds: number;
}

/** Sizes of the noise: those of three-bit and two-bit types, where the divergence is still about linear. */
const levels = [0.015, 0.06] as const;

const defaultChunks = 8;

/**
 * Puts noise of known size on one tensor at a time in the loaded model, measures the KL divergence from the model
 * without it, and puts the tensor back. Noise and error are weighted by importance as in `plan`, if there is an
 * imatrix. Unfinished work is kept beside the output and continued by the next run with the same model, text and
 * options.
 *
 * @throws UsageError if options make no sense, the text is too short or the imatrix is of another model;
 *   MalformedInputError, EnvironmentError, CancelledError as in `measurePerplexity`
 */
export async function sensitivity(options: SensitivityOptions): Promise<SensitivityResult> {
  const started = performance.now();
  await checkReadable(options.text);
  const source = await openGguf(options.model);
  const engine = options.engine ?? new Engine();
  try {
    const imatrix = await loadImportance(options, source.tensors);
    const fingerprint = await modelFingerprint(source);
    const tensors = source.tensors.filter(({ name, shape }) => isQuantizable(name, shape));
    const params = paramsOf(options);
    const run = await runName(engine, options, params, fingerprint, imatrix);
    const partial = `${options.output}.partial`;
    const known = await ErrorCache.open(partial);
    try {
      const chunks = await measureMissing(tensors, imatrix, known, run, engine, params, options);
      const measured = tensors.map(({ name }) => resultOf(name, known, run));
      const result = { chunks, levels, tensors: measured };
      await writeJson(options.output, { format: sensitivityFormat, version, fingerprint, ...result });
      await rm(partial, { force: true });
      return { output: options.output, ...result, seconds: (performance.now() - started) / 1000 };
    } finally {
      await known.close();
    }
  } finally {
    if (options.engine === undefined) await engine.close();
    await source.close();
  }
}

function paramsOf(options: SensitivityOptions) {
  const { model: path, gpuLayers, context = 512, chunks = defaultChunks } = options;
  for (const [option, value, least] of [
    ["--ctx", context, 4],
    ["--chunks", chunks, 1],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < least) {
      throw new UsageError(`${option} ${value}: must be a whole number of at least ${least}.`);
    }
  }
  const model: ModelOptions = { path, ...(gpuLayers === undefined ? {} : { gpuLayers }) };
  return {
    model,
    text: options.text,
    context,
    chunks,
    parseSpecial: options.parseSpecial ?? false,
    threads: options.threads,
  };
}

/** Stands for all that a measurement depends on besides the tensor and the level. */
async function runName(
  engine: Engine,
  { signal, priorWeight }: SensitivityOptions,
  params: ReturnType<typeof paramsOf>,
  fingerprint: string,
  imatrix: Imatrix | undefined,
): Promise<string> {
  const tokens = await engine.run(identifyText, params, { signal });
  const hash = createHash("sha256").update(
    JSON.stringify([fingerprint, tokens, params.context, priorWeight]),
  );
  for (const [name, { sums }] of imatrix?.entries ?? []) {
    hash.update(name).update(new Uint8Array(sums.buffer, sums.byteOffset, sums.byteLength));
  }
  return hash.digest("hex");
}

function keyOf(run: string, name: string, level: number): string {
  return createHash("sha256").update(`${run} ${name} ${level}`).digest("hex").slice(0, 40);
}

/** Measures what is not known yet; returns the number of chunks. */
async function measureMissing(
  tensors: readonly SourceTensor[],
  imatrix: Imatrix | undefined,
  known: ErrorCache,
  run: string,
  engine: Engine,
  params: ReturnType<typeof paramsOf>,
  options: SensitivityOptions,
): Promise<number> {
  const missing = tensors
    .map((tensor) => taskOf(tensor, imatrix, options))
    .map((task) => ({
      ...task,
      levels: task.levels.filter((level) => known.get(keyOf(run, task.name, level)) === undefined),
    }))
    .filter((task) => task.levels.length > 0);
  const total = tensors.length * levels.length;
  let done = total - missing.reduce((sum, task) => sum + task.levels.length, 0);
  const writes: Promise<void>[] = [];
  const onEvent = ({ name, level, error, kld }: SensitivityEvent) => {
    done++;
    options.onProgress?.({ step: "sensitivity", done, total, unit: "measurements", detail: name });
    const alpha = error > 0 ? kld / error : 0;
    writes.push(known.add(new Map([[keyOf(run, name, level), alpha]])));
  };
  try {
    const { signal } = options;
    const outcome = await engine.run(
      measureSensitivity,
      { ...params, tensors: missing },
      { onEvent, signal },
    );
    return outcome.chunks;
  } finally {
    await Promise.all(writes);
  }
}

function taskOf(
  tensor: SourceTensor,
  imatrix: Imatrix | undefined,
  options: ImportanceOptions,
): TensorToPerturb {
  const { name, type, shape } = tensor;
  if (!canPerturb(type)) {
    throw new UsageError(
      `${name} is ${type}, which Lopsided cannot write back; measure the sensitivity of the F16, BF16 or Q8_0 file.`,
      { tensor: name, type },
    );
  }
  const importance = imatrix && importanceFor(imatrix, tensor, options);
  const matrices = rowCount(shape) / (shape[1] ?? 1);
  const shares = expertShares(imatrix, importance, matrices);
  const experts = importance?.experts.map((values, expert) => ({
    importance: values,
    share: shares[expert] ?? 1,
  }));
  return { name, type, shape, experts, levels };
}

function resultOf(name: string, known: ErrorCache, run: string): MeasuredTensor {
  const alphas = levels.map((level) => known.get(keyOf(run, name, level)) ?? 0);
  const alpha = alphas.reduce((sum, value) => sum + value, 0) / alphas.length;
  return { name, role: roleOf(name), alpha, alphas };
}

async function writeJson(path: string, value: unknown): Promise<void> {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value, undefined, 1)}\n`);
  const output = await OutputFile.create(path, bytes.byteLength);
  try {
    await output.write(0, bytes);
    await output.commit();
  } finally {
    await output.discard();
  }
}
