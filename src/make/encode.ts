/** The stages `quantize` and `verify`: the model file. */
import { countsToKeep } from "../budget/expert-variants.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { UsageError } from "../errors.js";
import { openModel } from "../model/open.js";
import { weightCount } from "../model/source.js";
import { type QuantizeResult, quantize } from "../quantize/quantize.js";
import { type VerifyResult, verify } from "../quantize/verify.js";
import { loadRecipe } from "../recipe/presets.js";
import { isLowBit } from "../recipe/type-plan.js";
import type { Calibration } from "./calibrate.js";
import type { Encoded } from "./encoded.js";
import { defaultRecipe, type ResolvedMakeOptions } from "./make-command.js";
import { mainTypeOf, variantName } from "./names.js";
import { baselineOf, hasBudget } from "./options.js";
import { cacheOptions, encoderOptions, type MakeRun, queueOptionsOf, writeOptions } from "./run.js";
import { chooseScales, fitScalesOf } from "./scales.js";
import { isBelowEightBits, type PreparedSource, type SourceFacts } from "./source.js";
import type { ChosenTypes } from "./types.js";

/** Writes the model file, named after its variant. Errors: see `quantize`. */
export async function encode(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  calibration: Calibration,
  types: ChosenTypes,
): Promise<Encoded> {
  const { options, folder, stages } = run;
  const { priorWeight, splitMaxSize, effort, mtp } = options;
  // A plan has weighed it, and its recipe says what came of that.
  const padExperts = hasBudget(options) ? undefined : options.padExperts;
  const request = {
    model: source.quantizeFrom,
    recipe: types.recipe,
    imatrix: calibration.imatrix,
    ...calibration.inputs,
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
  const fit = chooseScales(run, facts, planned);
  const done = await stages.run({
    name: "quantize",
    inputs: {
      source: facts.identity,
      recipe: types.recipeSha256,
      "importance matrix": calibration.imatrixSha256,
      ...calibration.inputsSha256,
      effort,
      "prior weight": priorWeight,
      "low-bit tensors": request.copyLowBit ? "copied" : "lowered",
      splitting: fit ? undefined : splitMaxSize,
      padding: padExperts,
      "layers that predict further tokens": mtp,
      name: fit ? undefined : name,
    },
    run: async (stage): Promise<QuantizeResult> =>
      await quantize({
        ...writeOptions(run, stage),
        ...queueOptionsOf(run),
        ...cacheOptions(run),
        ...request,
        ...(fit && { splitMaxSize: undefined }),
        output: fit ? folder.workFile("unscaled.gguf") : output,
        decode: true,
        engine: run.engine,
      }),
    files: ({ files = [], prediction }) => [...files, ...(prediction?.files ?? [])],
  });
  const encoded = { result: done.result, sha256: done.sha256.join(" "), variant, name };
  return fit ? await fitScalesOf(run, facts, source, calibration, encoded, output) : encoded;
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
  const { moments: _, activations: __, effort: ___, ...others } = request;
  return await quantize({ ...others, output: "planned.gguf", dryRun: true });
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
