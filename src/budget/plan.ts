/** `plan`: the recipe that loses least within a budget. */

import { basename } from "node:path";
import { shownName } from "../bytes/address.js";
import { writeTextFile } from "../bytes/atomic-write.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { Engine } from "../engine/engine.js";
import { InternalError } from "../errors.js";
import type { Imatrix } from "../imatrix/imatrix.js";
import { loadImportance } from "../imatrix/load-importance.js";
import { openModel } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import { checkEffort, predictOutput } from "../quantize/quantize.js";
import type { TypeName } from "../quants/types.js";
import { quantizableNames } from "../recipe/quantizable.js";
import type { Recipe } from "../recipe/recipe.js";
import { renderRecipe } from "../recipe/render.js";
import { version } from "../version.js";
import { allocate } from "./allocate.js";
import type { Budget } from "./budget.js";
import { curvesOf, withImportance, writeCurves } from "./model-curves.js";
import { modelFingerprint, modelFingerprints } from "./model-fingerprint.js";
import { type PlanOptions, planCommand, type ResolvedPlanOptions } from "./plan-command.js";
import { alphaOf, errorOf, itemsOf, parseRules, plannedRecipe } from "./problem.js";
import { budgetFor } from "./requested-budget.js";
import { defaultSensitivity, type Sensitivity } from "./sensitivity/defaults.js";
import { openSensitivity } from "./sensitivity/open.js";
import { type LaidOut, type Solved, solve } from "./solve.js";
import type { ErrorCurve } from "./typical-curves.js";

export interface PlannedTensorResult {
  readonly name: string;
  readonly type: TypeName;
  readonly bytes: number;
  /** Relative error that was measured for this type: importance-weighted, or of the outputs by the moments. */
  readonly error: number;
  readonly alpha: number;
}

export interface PlanResult {
  /** Path of the recipe file. */
  readonly recipe: string;
  /** Size of the file that `quantize` writes with this recipe, imatrix and effort. */
  readonly bytes: number;
  readonly tensorBytes: number;
  readonly bpw: number;
  /** The budget, and how much of it the weights take. */
  readonly budget: { readonly title: string; readonly bytes: number; readonly used: number };
  /** Sum of sensitivity times error: the KL divergence to expect, in nats. */
  readonly predicted: number;
  /** No recipe within the budget is predicted to lose less than this. */
  readonly bound: number;
  /** (predicted - bound) / predicted; 0 if proven optimal. */
  readonly gap: number;
  readonly sensitivity: string;
  /** Whether errors were measured, or typical ones taken because there are no weights. */
  readonly errors: "measured" | "typical";
  readonly seconds: number;
  readonly tensors: readonly PlannedTensorResult[];
}

/**
 * Solves the budget and writes the recipe. Throws a UsageError if the budget is below the smallest possible model,
 * if limits leave a tensor no type, and for an imatrix or sensitivity file of another model.
 */
export async function plan(given: PlanOptions): Promise<PlanResult> {
  const started = performance.now();
  const options = planCommand.read(given);
  const rules = parseRules(options);
  checkEffort(options);
  const { model, output, curves: curvesPath, errors, imatrix: imatrixPath, moments } = options;
  const { activations = [], sensitivity } = options;
  await checkOutputs(
    [output, curvesPath, errors],
    [model, imatrixPath, sensitivity, moments, ...activations],
  );
  const source = await openModel(options.model, { signal: options.signal });
  const engine = options.engine ?? new Engine();
  try {
    const imatrix = await loadImportance(options, source.tensors);
    const budget = await budgetFor(source, { ...options, engine });
    const { unloaded } = budget;
    const fingerprint = await modelFingerprint(source);
    const sensitivity = await sensitivityFor(source, options);
    const hasImportance = imatrix && withImportance(source, imatrix, options);
    const items = itemsOf(source.tensors, { ...rules, backend: options.backend, hasImportance, unloaded });
    const measured = await curvesOf(source, items, imatrix, fingerprint, options);
    const { curves, isMeasured } = measured;
    if (curvesPath !== undefined) {
      await writeCurves(curvesPath, { ...measured, source, imatrix, fingerprint }, options);
    }
    const solved = await solve(
      { budget, sensitivity, items, curves },
      {
        allocate,
        layOut: (types) => layOut(source, imatrix, budget, types, options),
        onAttempt: (done, total) => options.onProgress?.({ step: "solve", done, total, unit: "attempts" }),
        remedies: imatrix === undefined ? ["give an `imatrix` (types of less than 2.6 bits need it)"] : [],
      },
    );
    const result = resultOf(solved, { budget, sensitivity, curves, options, isMeasured, started });
    await writeTextFile(options.output, commentsOf(result, options) + renderRecipe(solved.recipe));
    return result;
  } finally {
    if (options.engine === undefined) {
      await engine.close();
    }
    await source.close();
  }
}

async function sensitivityFor(
  source: ModelSource,
  { sensitivity }: ResolvedPlanOptions,
): Promise<Sensitivity> {
  const names = quantizableNames(source.tensors);
  return sensitivity === undefined
    ? defaultSensitivity(names)
    : await openSensitivity(sensitivity, { fingerprints: await modelFingerprints(source), names });
}

interface PlannedOutput extends LaidOut {
  readonly recipe: Recipe;
  readonly output: Awaited<ReturnType<typeof predictOutput>>;
}

/** The recipe for these types, and what `quantize` makes of it. */
async function layOut(
  source: ModelSource,
  imatrix: Imatrix | undefined,
  budget: Budget,
  types: ReadonlyMap<string, TypeName>,
  options: ResolvedPlanOptions,
): Promise<PlannedOutput> {
  const recipe = plannedRecipe(source.tensors, types, budget);
  const { imatrix: imatrixPath, moments, activations, priorWeight, effort, model, mtp } = options;
  const output = await predictOutput(source, recipe, imatrix, {
    model,
    output: "planned.gguf",
    imatrix: imatrixPath,
    moments,
    activations,
    priorWeight,
    effort,
    mtp,
    allowRequantize: true,
  });
  const wrong = output.tensors.find(({ name, to }) => to !== types.get(name));
  if (wrong !== undefined) {
    throw new InternalError(
      `the recipe gives ${wrong.name} ${wrong.to} instead of ${types.get(wrong.name)}.`,
    );
  }
  return { recipe, output, bytes: output.bytes, bpw: output.bpw };
}

interface ResultContext {
  readonly budget: Budget;
  readonly sensitivity: Sensitivity;
  readonly curves: ReadonlyMap<string, ErrorCurve>;
  readonly options: ResolvedPlanOptions;
  readonly isMeasured: boolean;
  readonly started: number;
}

function resultOf(
  { output, types, allocation, budgetBytes }: Solved<PlannedOutput>,
  context: ResultContext,
): PlanResult {
  const { budget, sensitivity, curves, isMeasured } = context;
  return {
    recipe: context.options.output,
    bytes: output.bytes,
    tensorBytes: output.tensorBytes,
    bpw: output.bpw,
    budget: {
      title: budget.title,
      bytes: budgetBytes,
      used: budget.isFile ? output.bytes : allocation.bytes,
    },
    predicted: allocation.cost,
    bound: allocation.bound,
    gap: allocation.gap,
    sensitivity: sensitivity.name,
    errors: isMeasured ? "measured" : "typical",
    seconds: (performance.now() - context.started) / 1000,
    tensors: output.tensors.map(({ name, to, bytes }) => ({
      name,
      type: types.get(name) ?? to,
      bytes,
      error: errorOf(name, to, curves),
      alpha: alphaOf(name, sensitivity),
    })),
  };
}

/** Files go by their names alone: where they lay must not change the recipe's bytes. */
function commentsOf(result: PlanResult, options: ResolvedPlanOptions): string {
  const { model, imatrix, moments, activations = [] } = options;
  const { bytes, bpw, predicted, bound, gap, sensitivity, errors, budget } = result;
  const optimality =
    gap === 0 ? "proven optimal" : `at least ${bound.toPrecision(4)}: gap ${(100 * gap).toFixed(2)} %`;
  const basis =
    sensitivity === "defaults"
      ? "defaults by role and depth (measure it with: lopsided sensitivity)"
      : `measured, ${basename(sensitivity)}`;
  const inputs = [
    ...(moments === undefined ? [] : [`moments ${basename(moments)}`]),
    ...activations.map((path) => `activations ${basename(path)}`),
  ];
  return [
    `Planned by Lopsided ${version} for ${shownName(model)}, within ${budget.title}.`,
    `Size: ${bytes} bytes, ${bpw.toFixed(4)} bits per weight.`,
    `Predicted KL divergence from the source: ${predicted.toPrecision(4)} nats (${optimality}).`,
    `Sensitivity: ${basis}.`,
    `Errors: ${errors}, ${imatrix === undefined ? "without importance matrix" : `with importance matrix ${basename(imatrix)}`}${inputs.map((name) => ` and ${name}`).join("")}.`,
  ]
    .map((line) => `# ${line.replace(/[\r\n]/g, " ")}\n`)
    .join("");
}
