/** `quantize`: decide a type for every tensor, encode, write. */

import { checkOutputs } from "../bytes/overwriting.js";
import { sha256OfFile } from "../bytes/sha256.js";
import { readWholeText } from "../bytes/text-file.js";
import { checkInstalled } from "../engine/library.js";
import { UsageError } from "../errors.js";
import type { Metadata } from "../gguf/metadata.js";
import { type ChangedExperts, withChangedExperts } from "../imatrix/changed-experts.js";
import type { ImatrixResult } from "../imatrix/compute.js";
import { coverageWarning } from "../imatrix/coverage.js";
import { readImatrixFile } from "../imatrix/file.js";
import type { Imatrix } from "../imatrix/imatrix.js";
import {
  checkedImportance,
  importanceFor,
  loadImportance,
  routedWithoutImportance,
} from "../imatrix/load-importance.js";
import { promisedImatrix } from "../imatrix/promised.js";
import { openModel } from "../model/open.js";
import { predictionAlone, predictionPath, withPrediction } from "../model/prediction-layers.js";
import type { Role } from "../model/roles.js";
import { type ModelSource, rowCount, weightCount } from "../model/source.js";
import { withoutMoments } from "../moments/model-moments.js";
import type { Effort } from "../quants/effort.js";
import { rowBytes, type TypeName } from "../quants/types.js";
import { queueSettings } from "../queue/settings.js";
import {
  parseTensorType,
  parseTensorTypeFile,
  type TensorTypeOverride,
  type TypeOverrides,
} from "../recipe/overrides.js";
import { loadRecipe, parseBaseOption } from "../recipe/presets.js";
import { baseRecipe, type Recipe } from "../recipe/recipe.js";
import { renderRecipe } from "../recipe/render.js";
import { unmetRequirements } from "../recipe/requirements.js";
import { chooseTypes, type TypePlan } from "../recipe/type-plan.js";
import { version } from "../version.js";
import { describeOutput, type WrittenFile, type WrittenModel } from "../write/model-writer.js";
import { checkOverrides, outputMetadata, parseOverrides, unknownSha256 } from "../write/output-metadata.js";
import { type OutputRequest, type OutputTensor, planOutput } from "../write/output-plan.js";
import { type WriteModelOptions, writeModel } from "../write/write-model.js";
import { byteOptions } from "./byte-options.js";
import { collectInputs, endCollection, keepRecent, openWindows, planCollection } from "./collect-inputs.js";
import { checkCalibration, checkEffort, encoderEffort } from "./effort-options.js";
import { InputStatistics } from "./input-statistics.js";
import { type QuantizeOptions, quantizeCommand, type ResolvedQuantizeOptions } from "./quantize-command.js";
import { tryWritten } from "./try-written.js";
import type { WindowInputs } from "./window-inputs.js";

/** Options with what their texts mean. */
type Settings = Omit<ResolvedQuantizeOptions, "tensorType" | "overrideKv"> &
  Pick<TypeOverrides, "tensorTypes"> & {
    /** Metadata to add or replace. */
    readonly overrides?: Metadata | undefined;
  };

export interface QuantizedTensor {
  readonly name: string;
  readonly role: Role;
  readonly shape: readonly number[];
  readonly from: TypeName;
  readonly to: TypeName;
  /** Size in the output. */
  readonly bytes: number;
  /** Why it got its type. */
  readonly reason: string;
  /** Importance-weighted squared error relative to the weights' own; absent in a dry run. */
  readonly relativeError?: number;
}

/** A second file beside the model's. */
export type QuantizedPart = Pick<
  QuantizeResult,
  "output" | "bytes" | "files" | "tensorBytes" | "tensors" | "sha256"
>;

export interface QuantizeResult {
  /** The file to open: the only one, or the first of a set. */
  readonly output: string;
  /** Size of all output files together. */
  readonly bytes: number;
  /** What was written; absent in a dry run. */
  readonly files?: readonly WrittenFile[];
  /** Size of the tensors alone. */
  readonly tensorBytes: number;
  /** Bits per weight: tensor bytes over parameters. */
  readonly bpw: number;
  readonly parameters: number;
  readonly tensors: readonly QuantizedTensor[];
  /** Tensors of routed experts that the importance matrix knows nothing of; absent without one. */
  readonly routedWithoutImportance?: readonly string[];
  /** What became of the routed experts besides their types; absent if nothing did. */
  readonly experts?: ChangedExperts;
  /** The file of the layers that predict further tokens, if they were to have one of their own. */
  readonly prediction?: QuantizedPart;
  /** What the run over a calibration text found of which nothing was kept. */
  readonly calibration?: ImatrixResult;
  /** Whether llama.cpp decoded some tokens of it; only with `decode`. */
  readonly runs?: boolean;
  /** Why it did not. */
  readonly runProblem?: string;
  /** Of the output file; absent in a dry run, and for a set, whose `files` have one each. */
  readonly sha256?: string;
  readonly seconds: number;
  /** Of what this run wrote; absent in a dry run. */
  readonly weightsPerSecond?: number;
  /** Part of these weights that was encoded before, by an earlier run; only with `cache`. */
  readonly cachedShare?: number;
  readonly peakRssBytes: number;
}

/**
 * Quantizes a model. Everything that can be wrong with the request is found before the first weight is read.
 * Throws a UsageError for what cannot be done as asked, a MalformedInputError for damaged input, an
 * EnvironmentError if the disk is full or not writable, a CancelledError when stopped.
 */
export async function quantize(given: QuantizeOptions): Promise<QuantizeResult> {
  const started = performance.now();
  const asked = quantizeCommand.read(given);
  const recipe = await chooseRecipe(asked);
  checkEffort(asked, ["name a text for `calibration`"]);
  checkCalibration(asked);
  const machines = queueSettings(asked);
  if (asked.decode) {
    checkInstalled();
  }
  if (asked.keepSplit && asked.mtp !== undefined && asked.mtp !== "embed") {
    throw new UsageError("`keepSplit` keeps all layers in their files; use `splitMaxSize` with `mtp`.");
  }
  const second = asked.mtp === "separate" ? [predictionPath(asked.output)] : [];
  await checkOutputs(asked.dryRun ? [] : [asked.output, ...second, asked.imatrixOutput], readBy(asked));
  const collection = await planCollection(asked, { expertOutputs: recipe.keepExperts !== undefined });
  const collects = asked.dryRun ? undefined : collection;
  const options = await settingsOf(collects?.chosen.keeps ? await collectInputs(asked, collects) : asked);
  const recent = collects && (await keepRecent(asked, collects));
  const opened = await openModel(options.model, { signal: options.signal, recent }).catch(async (error) => {
    await recent?.close();
    throw error;
  });
  let inputs: InputStatistics | undefined;
  let windows: WindowInputs | undefined;
  const tried: { runs?: boolean; runProblem?: string } = {};
  try {
    const promised =
      collection && options.imatrix === undefined ? promisedImatrix(opened, collection.run) : undefined;
    const importance = promised
      ? checkedImportance(promised, options, opened.tensors)
      : await loadImportance(options, opened.tensors);
    const { keepExperts, padExperts = options.padExperts } = recipe;
    const statistics =
      keepExperts !== undefined && options.imatrix !== undefined
        ? await readImatrixFile(options.imatrix)
        : undefined;
    const { dryRun, onWarning } = options;
    const changes = { keepExperts, padExperts };
    const model = await withChangedExperts(opened, importance, changes, { statistics, dryRun, onWarning });
    const { source, imatrix, whole, kept, changed } = model;
    if (collects && !collects.chosen.keeps) {
      const tensors = { collected: opened.tensors, quantized: whole.tensors };
      windows = await openWindows(asked, collects, { ...tensors, recent });
    }
    inputs = await InputStatistics.open(options, opened.tensors, whole.tensors, kept);
    const known = { imatrix, inputs, windows };
    checkOverrides(options.overrides ?? new Map(), source.metadata);
    // The model's file is the same, whether the layers have a file of their own or none.
    const own = options.mtp === "separate" ? ({ ...options, mtp: "drop" } as const) : options;
    const part = withPrediction(source, own.mtp);
    const { plan, request } = await requestFor(source, recipe, known, own, part);
    windows?.expect(plan.tensors, recipe.base);
    const more = [
      promised ? undefined : imatrix && coverageWarning(imatrix),
      inputs && withoutMoments(request.tensors),
      ...((await inputs?.warnings()) ?? []),
    ];
    for (const warning of [...plan.warnings, ...more]) {
      if (warning) {
        options.onWarning?.(warning);
      }
    }
    const write = async (wanted: Omit<WriteModelOptions, "step" | "inputs" | "reads">) =>
      await writeModel({
        ...wanted,
        step: "quantize",
        machines,
        inputs: { ...(await inputsOf(recipe, wanted.tensors, options)), calibration: collects?.contents },
        reads: readBy(options),
        onEncoded: async () => await windows?.finish(),
      });
    // First, so that an interrupted run repeats the smaller file.
    const prediction =
      options.mtp === "separate"
        ? await quantizePrediction(source, recipe, known, options, write)
        : undefined;
    const written = options.dryRun
      ? undefined
      : await write({
          ...request,
          ...(options.decode && {
            beforeNaming: async (files) => {
              Object.assign(tried, await tryWritten(files, options));
            },
          }),
        });
    if (written && collects) {
      await endCollection(asked, collects);
    }
    const used = windows?.imatrix ?? imatrix;
    return {
      ...resultOf(plan, written ?? plannedOutput(request), written, started),
      ...(prediction && { prediction }),
      ...(Object.keys(changed).length > 0 && { experts: changed }),
      ...(used && { routedWithoutImportance: routedWithoutImportance(used, source.tensors) }),
      ...(windows?.result && { calibration: windows.result }),
      ...tried,
    };
  } finally {
    await inputs?.close();
    await windows?.close();
    await opened.close();
    await recent?.close();
  }
}

/** The file of the layers that predict further tokens. */
async function quantizePrediction(
  source: ModelSource,
  recipe: Recipe,
  statistics: Statistics,
  options: Settings,
  write: (request: Omit<WriteModelOptions, "step" | "inputs" | "reads">) => Promise<WrittenModel>,
): Promise<QuantizedPart> {
  const started = performance.now();
  const own = { ...options, output: predictionPath(options.output) };
  const { plan, request } = await requestFor(source, recipe, statistics, own, predictionAlone(source));
  const written = options.dryRun ? undefined : await write(request);
  const { output, bytes, files, tensorBytes, tensors, sha256 } = resultOf(
    plan,
    written ?? plannedOutput(request),
    written,
    started,
  );
  return { output, bytes, tensorBytes, tensors, ...(files && { files }), ...(sha256 && { sha256 }) };
}

async function settingsOf(options: ResolvedQuantizeOptions): Promise<Settings> {
  const { tensorType = [], tensorTypeFile, overrideKv = [], ...rest } = options;
  const given = tensorType.map((text) => parseTensorType(text));
  const listed = tensorTypeFile === undefined ? [] : await readTensorTypeFile(tensorTypeFile);
  return {
    ...rest,
    tensorTypeFile,
    tensorTypes: [...given, ...listed],
    overrides: parseOverrides(overrideKv),
  };
}

/** Real ones have a line for each of some thousand tensors. */
const longestTypeFile = 2 ** 22;

async function readTensorTypeFile(path: string): Promise<TensorTypeOverride[]> {
  return parseTensorTypeFile(await readWholeText(path, longestTypeFile), path);
}

/**
 * What an opened source, or a part of it, becomes: the types, and all that the writer needs. A part's tensors have the
 * types that they have in the whole.
 */
async function requestFor(
  source: ModelSource,
  recipe: Recipe,
  statistics: Statistics,
  options: Settings,
  part = source,
): Promise<{
  plan: TypePlan;
  request: Omit<Settings, "effort"> & OutputRequest & { effort: Effort };
}> {
  const whole = planTypesOf(source, recipe, statistics.imatrix, options);
  const names = new Set(part.tensors.map(({ name }) => name));
  const plan = { ...whole, tensors: whole.tensors.filter(({ name }) => names.has(name)) };
  const request = {
    ...options,
    source: part,
    effort: encoderEffort(options),
    tensors: plannedTensors(plan, part, statistics, options),
    metadata: await metadataOf(plan, part, recipe, statistics, options),
  };
  return { plan, request };
}

/** What `quantize` would make of an opened source: a dry run for those who have read source and imatrix already. */
export async function predictOutput(
  source: ModelSource,
  recipe: Recipe,
  imatrix: Imatrix | undefined,
  options: QuantizeOptions,
): Promise<QuantizeResult> {
  const settings = { ...(await settingsOf(quantizeCommand.read(options))), dryRun: true };
  const part = withPrediction(source, settings.mtp);
  const { plan, request } = await requestFor(source, recipe, { imatrix }, settings, part);
  return resultOf(plan, plannedOutput(request), undefined, performance.now());
}

/** The recipe that the options ask for: a recipe, a base, or both, the base filling what the rules leave open. */
async function chooseRecipe({ recipe: name, base: baseName }: ResolvedQuantizeOptions): Promise<Recipe> {
  const base = baseName === undefined ? undefined : parseBaseOption(baseName);
  if (name !== undefined) {
    const recipe = await loadRecipe(name);
    return base === undefined ? recipe : { ...recipe, base };
  }
  if (base !== undefined) {
    return baseRecipe(base);
  }
  throw new UsageError('no types are chosen; give a `recipe`, for example "asym-2bit-experts", or a `base`.');
}

function planTypesOf(
  source: ModelSource,
  recipe: Recipe,
  imatrix: Imatrix | undefined,
  options: Settings,
): TypePlan {
  const byName = new Map(source.tensors.map((tensor) => [tensor.name, tensor]));
  const hasImportance = (name: string) => {
    const tensor = byName.get(name);
    return (
      imatrix !== undefined && tensor !== undefined && importanceFor(imatrix, tensor, options) !== undefined
    );
  };
  const { tensors } = source;
  // As in llama.cpp, what `overrideKv` says of the model already counts for the choice of types.
  const metadata = new Map([...source.metadata, ...(options.overrides ?? [])]);
  const known = imatrix && hasImportance;
  const plan = chooseTypes({ tensors, metadata, recipe, overrides: options, hasImportance: known });
  const problems = unmetRequirements(plan.tensors, {
    base: recipe.base,
    allowRequantize: options.allowRequantize ?? false,
    hasImportance: known,
  });
  if (problems[0] !== undefined && !options.dryRun) {
    throw problems[0];
  }
  const refusals = problems.map(({ message }) => `the real run would be refused: ${message}`);
  return { ...plan, warnings: [...plan.warnings, ...refusals] };
}

function plannedTensors(
  plan: TypePlan,
  source: ModelSource,
  { imatrix, inputs, windows }: Statistics,
  options: Settings,
): OutputTensor[] {
  return source.tensors.map((tensor, index) => {
    const type = plan.tensors[index]?.to ?? tensor.type;
    return {
      source: tensor,
      type,
      importance: imatrix && (() => importanceFor(windows?.imatrix ?? imatrix, tensor, options)?.experts),
      moments: (windows ?? inputs)?.of(tensor, type),
      group: windows?.groupOf(tensor),
    };
  });
}

/** A function that makes the output's metadata once the source's checksums are known. */
async function metadataOf(
  { fileType }: TypePlan,
  source: ModelSource,
  recipe: Recipe,
  { imatrix, windows }: Statistics,
  options: Settings,
): Promise<(sourceSha256: readonly string[]) => Metadata> {
  const { calibration } = options;
  const givenSha256 = options.imatrix === undefined ? undefined : await sha256OfFile(options.imatrix);
  // Of what was collected for this run alone, the text is named.
  const calibrationSha256 = calibration === undefined ? undefined : await sha256OfFile(calibration);
  const isGiven = calibration === undefined;
  const [momentsSha256] = await checksumsOf(isGiven && options.moments ? [options.moments] : [], options);
  const activationsSha256 = await checksumsOf((isGiven && options.activations) || [], options);
  const lateSha256 = () => (imatrix ? (windows?.imatrixSha256 ?? unknownSha256) : undefined);
  return (sourceSha256) =>
    outputMetadata({
      source: source.metadata,
      fileType,
      imatrix: windows?.imatrix ?? imatrix,
      overrides: options.overrides ?? new Map(),
      provenance: {
        version,
        recipe: renderRecipe(recipe),
        options: byteOptions(options),
        sourceSha256,
        imatrixSha256: givenSha256 ?? (isGiven ? undefined : lateSha256()),
        momentsSha256,
        activationsSha256,
        calibrationSha256,
      },
    });
}

/** A dry run needs the checksums' length alone, and the files can be large. */
async function checksumsOf(paths: readonly string[], { dryRun }: Settings): Promise<string[]> {
  const sums: string[] = [];
  for (const path of paths) {
    sums.push(dryRun ? "0".repeat(64) : await sha256OfFile(path));
  }
  return sums;
}

function plannedOutput(request: OutputRequest) {
  return describeOutput(planOutput(request).map(({ path, layout }) => ({ path, bytes: layout.byteLength })));
}

/** What is known of the inputs of weights, or will be. */
interface Statistics {
  /** The importance matrix, or what is promised of it: `windows` will have it. */
  readonly imatrix: Imatrix | undefined;
  /** What is known of all layers. */
  readonly inputs?: InputStatistics | undefined;
  /** What is known of a layer until it is encoded. */
  readonly windows?: WindowInputs | undefined;
}

/** Paths of all that may be read. */
function readBy(options: ResolvedQuantizeOptions) {
  const { model, imatrix, moments, activations = [], calibration, recipe, tensorTypeFile } = options;
  return [model, imatrix, moments, ...activations, calibration, recipe, tensorTypeFile];
}

/** What decides the output besides the source, for a run that resumes. */
async function inputsOf(recipe: Recipe, tensors: WriteModelOptions["tensors"], options: Settings) {
  const overrides = [...(options.overrides ?? [])];
  return {
    recipe: renderRecipe(recipe),
    "importance matrix": options.imatrix && (await sha256OfFile(options.imatrix)),
    "moments file": options.moments && (await sha256OfFile(options.moments)),
    "activations file": options.activations && (await checksumsOf(options.activations, options)).join(" "),
    "set of options": byteOptions(options) + JSON.stringify(overrides, (_, value) => plain(value)),
    // Whether quantized sources may be quantized again, for example, is no part of the file, but decides its types.
    "set of types": JSON.stringify(tensors.map(({ source, type }) => [source.name, type])),
    splitting: JSON.stringify([options.keepSplit, options.splitMaxSize, ...(options.ownShard ?? [])]),
  };
}

function plain(value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

function resultOf(
  plan: TypePlan,
  output: { readonly output: string; readonly bytes: number },
  written: WrittenModel | undefined,
  started: number,
): QuantizeResult {
  const tensors = plan.tensors.map((tensor, index): QuantizedTensor => {
    const { name, role, shape, from, to, reason } = tensor;
    const bytes = rowCount(shape) * rowBytes(to, shape[0] ?? 1);
    const relativeError = written?.relativeErrors[index];
    return {
      name,
      role,
      shape,
      from,
      to,
      bytes,
      reason,
      ...(relativeError !== undefined && { relativeError }),
    };
  });
  const parameters = tensors.reduce((sum, { shape }) => sum + weightCount(shape), 0);
  const tensorBytes = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  const seconds = (performance.now() - started) / 1000;
  return {
    output: output.output,
    bytes: output.bytes,
    ...(written && { files: written.files }),
    tensorBytes,
    bpw: (8 * tensorBytes) / parameters,
    parameters,
    tensors,
    ...(written?.sha256 !== undefined && { sha256: written.sha256 }),
    seconds,
    ...(written && { weightsPerSecond: written.weights / seconds }),
    ...(written?.cachedWeights !== undefined && {
      cachedShare: written.weights > 0 ? written.cachedWeights / written.weights : 0,
    }),
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
  };
}
