/** The stages that choose the types: `sensitivity` and `plan` for a budget, otherwise `recipe`. */

import { type PlanResult, plan } from "../budget/plan.js";
import { budgetOptionsOf } from "../budget/plan-command.js";
import { type SensitivityResult, sensitivity } from "../budget/sensitivity/measure.js";
import { canPerturb } from "../budget/sensitivity/noise.js";
import { writeTextFile } from "../bytes/atomic-write.js";
import { sha256OfFile } from "../bytes/sha256.js";
import { mirroredVersion } from "../engine/native.js";
import { loadRecipe } from "../recipe/presets.js";
import { renderRecipe } from "../recipe/render.js";
import type { Calibration } from "./calibrate.js";
import { defaultRecipe } from "./make-command.js";
import { hasBudget } from "./options.js";
import { encoderOptions, engineOptions, type MakeRun } from "./run.js";
import type { PreparedSource, SourceFacts } from "./source.js";

export interface ChosenTypes {
  /** Path of the recipe, and its SHA-256. */
  readonly recipe: string;
  readonly recipeSha256: string;
  readonly sensitivity?: SensitivityResult | undefined;
  readonly sensitivitySha256?: string | undefined;
  readonly plan?: PlanResult | undefined;
}

/** Writes `recipe.yaml`: the recipe asked for, or the one that loses least within the budget. */
export async function chooseRecipeTypes(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  calibration: Calibration,
): Promise<ChosenTypes> {
  return hasBudget(run.options)
    ? await planTypes(run, facts, source, calibration)
    : await copyRecipe(run, run.options.recipe ?? defaultRecipe);
}

async function copyRecipe({ folder, stages }: MakeRun, name: string): Promise<ChosenTypes> {
  const recipe = folder.file("recipe.yaml");
  const text = renderRecipe(await loadRecipe(name));
  const done = await stages.run({
    name: "recipe",
    inputs: { recipe: text },
    run: async () => await writeTextFile(recipe, text),
    files: () => [{ path: recipe }],
  });
  return { recipe, recipeSha256: done.sha256[0] ?? "" };
}

async function planTypes(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  calibration: Calibration,
): Promise<ChosenTypes> {
  const { options, folder, stages, engine } = run;
  const measured = await measureSensitivity(run, facts, source, calibration);
  const recipe = folder.file("recipe.yaml");
  const { priorWeight, effort, mtp, prune, padExperts } = options;
  const budget = budgetOptionsOf(options);
  const done = await stages.run({
    name: "plan",
    inputs: {
      source: facts.identity,
      "importance matrix": calibration.imatrixSha256,
      ...calibration.inputsSha256,
      sensitivity: measured?.sha256,
      budget,
      experts: (prune ?? padExperts) ? [prune, padExperts] : undefined,
      effort,
      "prior weight": priorWeight,
      "layers that predict further tokens": mtp,
    },
    run: async (stage): Promise<PlanResult> =>
      await plan({
        ...encoderOptions(run, stage),
        ...budget,
        engine,
        model: source.quantizeFrom,
        output: recipe,
        imatrix: calibration.imatrix,
        priorWeight,
        mtp,
        prune,
        padExperts,
        sensitivity: measured?.result.output,
        ...(options.cache === undefined
          ? { errors: folder.workFile("errors.jsonl") }
          : { cache: options.cache }),
        effort,
        ...calibration.inputs,
      }),
    files: () => [{ path: recipe }],
  });
  return {
    recipe,
    recipeSha256: done.sha256[0] ?? "",
    sensitivity: measured?.result,
    sensitivitySha256: measured?.sha256,
    plan: done.result,
  };
}

/** Measures sensitivities unless the user does without, or the source is of a type that cannot be written back. */
async function measureSensitivity(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  { imatrix, imatrixSha256 }: Calibration,
): Promise<{ result: SensitivityResult; sha256: string } | undefined> {
  const { options, folder, stages } = run;
  if (options.sensitivity === false) {
    return undefined;
  }
  const fixed = facts.groups.filter(({ type }) => !canPerturb(type));
  if (fixed.length > 0) {
    const names = fixed.map(({ type }) => type).join(", ");
    options.onWarning?.(
      `${facts.model} has tensors of types that cannot be written back (${names}): their sensitivity is not measured; their types are chosen by role and depth.`,
    );
  }
  const { ctxCalibration: ctx, sensitivityChunks, priorWeight } = options;
  const { path: text, parseSpecial } = run.texts.calibration;
  const output = folder.workFile("sensitivity.json");
  const done = await stages.run({
    name: "sensitivity",
    inputs: {
      source: facts.identity,
      "importance matrix": imatrixSha256,
      "calibration text": await sha256OfFile(text, options.signal),
      chunks: [ctx, sensitivityChunks, parseSpecial],
      "prior weight": priorWeight,
      "llama.cpp": mirroredVersion,
    },
    run: async (stage): Promise<SensitivityResult> => {
      const { onWarning: _, ...common } = engineOptions(run, stage);
      const chunks = { chunks: sensitivityChunks, ctx, parseSpecial };
      const { runnable: model } = source;
      return await sensitivity({ ...common, ...chunks, model, text, output, imatrix, priorWeight });
    },
    files: () => [{ path: output }],
  });
  return { result: done.result, sha256: done.sha256[0] ?? "" };
}
