/** The stages `quantize` and `verify`: the model file. */
import { countsToKeep } from "../budget/expert-variants.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { sha256OfFile } from "../bytes/sha256.js";
import { mirroredVersion } from "../engine/native.js";
import { InternalError, UsageError } from "../errors.js";
import { readImatrixFile, writeImatrixFile } from "../imatrix/file.js";
import type { MaxEffort } from "../imatrix/max-effort.js";
import { openModel } from "../model/open.js";
import { weightCount } from "../model/source.js";
import { type QuantizeResult, quantize } from "../quantize/quantize.js";
import type { QuantizeOptions } from "../quantize/quantize-command.js";
import { type VerifyResult, verify } from "../quantize/verify.js";
import { loadRecipe } from "../recipe/presets.js";
import { isLowBit } from "../recipe/type-plan.js";
import { type Calibration, imatrixFileName } from "./calibrate.js";
import type { Encoded } from "./encoded.js";
import { defaultRecipe, type ResolvedMakeOptions } from "./make-command.js";
import { mainTypeOf, variantName } from "./names.js";
import { baselineOf, hasBudget } from "./options.js";
import { cacheOptions, encoderOptions, type MakeRun, queueOptionsOf, writeOptions } from "./run.js";
import { chooseScales, fitScalesOf } from "./scales.js";
import { isBelowEightBits, type PreparedSource, type SourceFacts } from "./source.js";
import type { ChosenTypes } from "./types.js";

/** Where what is known of the inputs of weights comes from: files, or a run over the calibration text. */
interface EncodingInputs {
  /** Options of `quantize`. */
  readonly request: Pick<
    QuantizeOptions,
    | "imatrix"
    | "moments"
    | "activations"
    | "calibration"
    | "calibrationRun"
    | "keepActivations"
    | "imatrixOutput"
  >;
  /** What the output depends on of it. */
  readonly dependsOn: Readonly<Record<string, unknown>>;
  /** Files besides the model's that encoding leaves. */
  readonly files?: readonly string[];
}

/** Writes the model file, named after its variant. Errors: see `quantize`. */
export async function encode(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  calibration: Calibration,
  types: ChosenTypes,
): Promise<Encoded> {
  const { imatrix, imatrixSha256, inputs, inputsSha256 } = calibration;
  const { encoded, fit } = await encodeWith(run, facts, source, types, {
    request: { imatrix, ...inputs },
    dependsOn: { "importance matrix": imatrixSha256, ...inputsSha256 },
  });
  return await fit(encoded, calibration);
}

/**
 * Effort max with nothing kept: runs each layer over the calibration text and encodes it. The model file and the
 * importance matrix come of the same stage. Errors: see `quantize`.
 */
export async function encodeLayerByLayer(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  { activationBits, momentsOf }: MaxEffort,
  types: ChosenTypes,
): Promise<{ readonly calibration: Calibration; readonly encoded: Encoded }> {
  const { options, folder } = run;
  const { ctxCalibration: ctx, chunks, priorWeight, threads, gpuLayers, gpuMemory } = options;
  const { name: dataset, path: text, parseSpecial } = run.texts.calibration;
  const [imatrix, dat] = [folder.file(imatrixFileName), folder.file("imatrix.dat")];
  const textSha256 = await sha256OfFile(text, options.signal);
  // A stage of its own in an earlier run, which had other options.
  await folder.state.forget("imatrix");
  const ways = { ctx, chunks, parseSpecial, dataset, priorWeight };
  const { encoded, others, fit } = await encodeWith(run, facts, source, types, {
    request: {
      calibration: text,
      calibrationRun: { ...ways, threads, gpuLayers, gpuMemory, ignoreMemoryLimit: true },
      keepActivations: false,
      imatrixOutput: imatrix,
    },
    dependsOn: {
      "calibration text": textSha256,
      "calibration chunks": [ctx, chunks, parseSpecial],
      "name of the text": dataset,
      moments: momentsOf,
      activations: activationBits,
      "llama.cpp": mirroredVersion,
    },
    files: [imatrix, dat],
  });
  const { calibration: result, ...made } = encoded.result;
  if (result === undefined) {
    throw new InternalError("a model was encoded layer by layer, and no layer was run.");
  }
  const calibration = {
    result: { ...result, output: imatrix },
    imatrix,
    imatrixSha256: others[0] ?? "",
    textSha256,
    inputs: {},
    inputsSha256: {},
  };
  return { calibration, encoded: await fit({ ...encoded, result: made }, calibration) };
}

async function encodeWith(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  types: ChosenTypes,
  { request: inputs, dependsOn, files: others = [] }: EncodingInputs,
) {
  const { options, folder, stages } = run;
  const { priorWeight, splitMaxSize, effort, mtp } = options;
  // A plan has weighed it, and its recipe says what came of that.
  const padExperts = hasBudget(options) ? undefined : options.padExperts;
  const request = {
    model: source.quantizeFrom,
    recipe: types.recipe,
    ...inputs,
    effort,
    priorWeight,
    splitMaxSize,
    mtp,
    padExperts,
    allowRequantize: true,
    // A plan has weighed what lowering them costs; a recipe made for other models has not.
    copyLowBit:
      !options.allowRequantize && !hasBudget(options) && source.groups.some(({ type }) => isLowBit(type)),
  };
  const planned = await plannedOf(request);
  const variant = await variantOf(request.recipe, planned);
  const name = `${facts.name}-${variant}`;
  const output = folder.file(`${name}.gguf`);
  const baseline = await baselineOf(options);
  await checkOutputs([output], baseline.kind === "file" ? [baseline.path] : []);
  const fits = chooseScales(run, facts, planned);
  const done = await stages.run({
    name: "quantize",
    inputs: {
      source: facts.identity,
      recipe: types.recipeSha256,
      ...dependsOn,
      effort,
      "prior weight": priorWeight,
      "low-bit tensors": request.copyLowBit ? "copied" : "lowered",
      splitting: fits ? undefined : splitMaxSize,
      padding: padExperts,
      "layers that predict further tokens": mtp,
      name: fits ? undefined : name,
    },
    run: async (stage): Promise<QuantizeResult> => {
      const result = await quantize({
        ...writeOptions(run, stage),
        ...queueOptionsOf(run),
        ...cacheOptions(run),
        ...request,
        ...(fits && { splitMaxSize: undefined }),
        output: fits ? folder.workFile("unscaled.gguf") : output,
        decode: true,
        engine: run.engine,
      });
      const { imatrixOutput } = inputs;
      if (imatrixOutput !== undefined) {
        await writeImatrixFile(folder.file("imatrix.dat"), await readImatrixFile(imatrixOutput), "dat");
      }
      return result;
    },
    files: ({ files = [], prediction }) => [
      ...others.map((path) => ({ path })),
      ...files,
      ...(prediction?.files ?? []),
    ],
  });
  const sha256 = done.sha256.slice(others.length).join(" ");
  return {
    encoded: { result: done.result, sha256, variant, name },
    /** SHA-256 of the files besides the model's. */
    others: done.sha256.slice(0, others.length),
    /** Fits the scales of what was encoded, where that is to be done. */
    fit: async (encoded: Encoded, calibration: Calibration): Promise<Encoded> =>
      fits ? await fitScalesOf(run, facts, source, calibration, encoded, output) : encoded,
  };
}

/** Decodes every block of the model file and compares a sample of rows with the source. */
export async function verifyEncoded(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  { result, sha256 }: Encoded,
): Promise<VerifyResult> {
  const done = await run.stages.run({
    name: "verify",
    inputs: { source: facts.identity, model: sha256 },
    run: async (stage): Promise<VerifyResult> => {
      const options = { ...encoderOptions(run, stage), source: source.quantizeFrom };
      if (result.prediction) {
        await verify({ ...options, model: result.prediction.output });
      }
      return await verify({ ...options, model: result.output });
    },
  });
  return done.result;
}

/** What a dry run finds. */
async function plannedOf(request: Omit<Parameters<typeof quantize>[0], "output">): Promise<QuantizeResult> {
  const { moments: _, activations: __, effort, imatrixOutput: ___, ...others } = request;
  const promised = others.calibration === undefined ? {} : { effort };
  return await quantize({ ...others, ...promised, output: "planned.gguf", dryRun: true });
}

/** The variant's name, from the types. */
async function variantOf(recipe: string, { tensors }: QuantizeResult): Promise<string> {
  const types = tensors.map(({ to, shape }) => ({ type: to, parameters: weightCount(shape) }));
  return variantName(await loadRecipe(recipe), mainTypeOf(types));
}

/**
 * Finds out before the calibration whether the source can be quantized like that: sources of eight bits and more
 * lose next to nothing twice, others are only taken if the user wants it, and a recipe must fit the model. Returns the
 * size that the model will have, if it is known.
 */
export async function checkTypes(
  options: ResolvedMakeOptions,
  { groups, model: shown }: SourceFacts,
): Promise<{ bytes: number | undefined }> {
  const { model, recipe = defaultRecipe, allowRequantize, mtp, prune, padExperts, signal } = options;
  if (!allowRequantize && isBelowEightBits(groups)) {
    throw new UsageError(
      `${shown}: is quantized to less than eight bits already; use the original, or allow it with \`allowRequantize\`.`,
      { model: shown },
    );
  }
  if (hasBudget(options)) {
    if (prune !== undefined) {
      const source = await openModel(model, { signal });
      try {
        countsToKeep(prune, source);
      } finally {
        await source.close();
      }
    }
    // Finds out whether such layers are there.
    await quantize({ model, base: "COPY", mtp, padExperts, output: "planned.gguf", dryRun: true });
    return { bytes: options.size };
  }
  return await quantize({ model, recipe, mtp, padExperts, output: "planned.gguf", dryRun: true });
}
