/** The stages that choose the types: `sensitivity` and `plan` for a budget, otherwise `recipe`. */

import { type PlanResult, plan } from "../budget/plan.js";
import { type SensitivityResult, sensitivity } from "../budget/sensitivity/measure.js";
import { canPerturb } from "../budget/sensitivity/noise.js";
import { writeTextFile } from "../bytes/atomic-write.js";
import { sha256OfFile } from "../bytes/sha256.js";
import { mirroredVersion } from "../engine/native.js";
import { loadRecipe } from "../recipe/presets.js";
import { renderRecipe } from "../recipe/render.js";
import type { Calibration } from "./calibrate.js";
import { defaultRecipe } from "./make-command.js";
import { hasBudget, measuresSolution } from "./options.js";
import { type PlanStep, planStep } from "./plan-step.js";
import { engineOptions, type MakeRun } from "./run.js";
import { measureSolution } from "./solution.js";
import type { PreparedSource, SourceFacts } from "./source.js";
import type { StageDone } from "./stages.js";

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
  return hasBudget(run.options) ? await planTypes(run, facts, source, calibration) : await copyRecipe(run);
}

/** Writes `recipe.yaml`: the recipe asked for. */
export async function copyRecipe({ folder, stages, options }: MakeRun): Promise<ChosenTypes> {
  const { recipe: name = defaultRecipe } = options;
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
  const { folder, stages } = run;
  const step = planStep(run, facts, source, calibration);
  const measured = await measureSensitivity(run, facts, source, calibration, step);
  const recipe = folder.file("recipe.yaml");
  const done = await stages.run({
    name: "plan",
    inputs: { ...step.inputs, sensitivity: measured?.sha256[0] },
    run: async (stage): Promise<PlanResult> =>
      await plan({ ...step.options(stage), output: recipe, sensitivity: measured?.result.output }),
    files: () => [{ path: recipe }],
  });
  return {
    recipe,
    recipeSha256: done.sha256[0] ?? "",
    sensitivity: measured?.result,
    sensitivitySha256: measured?.sha256[0],
    plan: done.result,
  };
}

/** Measures sensitivities unless the user does without; of a first quantization if the effort is for that. */
async function measureSensitivity(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  calibration: Calibration,
  step: PlanStep,
): Promise<StageDone<SensitivityResult> | undefined> {
  const { options } = run;
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
  const atSolution = measuresSolution(options)
    ? await measureSolution(run, facts, source, calibration, step)
    : undefined;
  return atSolution ?? (await measureByNoise(run, facts, source, calibration));
}

async function measureByNoise(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  { imatrix, imatrixSha256 }: Calibration,
): Promise<StageDone<SensitivityResult>> {
  const { options, folder, stages } = run;
  const { ctxCalibration: ctx, sensitivityChunks, priorWeight } = options;
  const { path: text, parseSpecial } = run.texts.calibration;
  const output = folder.workFile("sensitivity.json");
  return await stages.run({
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
}
