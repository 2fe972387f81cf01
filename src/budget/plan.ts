/** `plan`: the recipe that loses least within a budget. */

import { basename } from "node:path";
import { shownName } from "../bytes/address.js";
import { writeTextFile } from "../bytes/atomic-write.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { Engine } from "../engine/engine.js";
import { InternalError, UsageError } from "../errors.js";
import { tensorBytes } from "../gguf/layout.js";
import type { ChangedExperts } from "../imatrix/changed-experts.js";
import { loadImportance } from "../imatrix/load-importance.js";
import { Architecture } from "../model/architecture.js";
import { openModel } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import { checkEffort } from "../quantize/effort-options.js";
import { predictOutput } from "../quantize/quantize.js";
import type { TypeName } from "../quants/types.js";
import { quantizableNames } from "../recipe/quantizable.js";
import type { Recipe } from "../recipe/recipe.js";
import { renderRecipe } from "../recipe/render.js";
import { isLowBit } from "../recipe/type-plan.js";
import { version } from "../version.js";
import { allocate } from "./allocate.js";
import type { Budget } from "./budget.js";
import type { MeasuredCurves } from "./error-curves.js";
import { type ExpertVariant, expertVariants } from "./expert-variants.js";
import { curvesOf, withImportance, writeCurves } from "./model-curves.js";
import { modelFingerprint, modelFingerprints } from "./model-fingerprint.js";
import { type PlanOptions, planCommand, type ResolvedPlanOptions } from "./plan-command.js";
import { alphaOf, errorOf, itemsOf, type Problem, parseRules, plannedRecipe } from "./problem.js";
import { budgetFor } from "./requested-budget.js";
import { defaultSensitivity, fittedTo, type Sensitivity } from "./sensitivity/defaults.js";
import { openSensitivity } from "./sensitivity/open.js";
import { type LaidOut, type Solved, solve } from "./solve.js";

export interface PlannedTensorResult {
  readonly name: string;
  readonly type: TypeName;
  readonly bytes: number;
  /** Relative error that was measured for this type: importance-weighted, or of the outputs by the moments. */
  readonly error: number;
  readonly alpha: number;
}

/** A number of experts in each layer, padded or not, with the types that lose least. */
export interface WeighedVariant {
  readonly experts: number;
  readonly padded: boolean;
  readonly bytes: number;
  readonly bpw: number;
  readonly predicted: number;
}

/** Tensors that could be copied without loss, and what became of them. */
export interface LowBitTensors {
  readonly count: number;
  /** What all of them take if they are copied, and as planned. */
  readonly copiedBytes: number;
  readonly bytes: number;
  /** What lowering them is predicted to cost, in nats; 0 if all are copied. */
  readonly divergence: number;
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
  /** What becomes of the experts besides their types, and what that is predicted to cost, in nats; absent if nothing. */
  readonly experts?: ChangedExperts & { readonly divergence: number };
  /** The ways to change the experts that fit the budget, each with its best types; absent if there was but one. */
  readonly weighed?: readonly WeighedVariant[];
  /** Of tensors that the source has in 4.5 bits or less, like MXFP4 experts; absent without such. */
  readonly lowBit?: LowBitTensors;
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
    const known = await sensitivityFor(source, options);
    const variants = await expertVariants(source, imatrix, known, options);
    let sensitivity = known;
    const solved: SolvedVariant[] = [];
    const failures: UsageError[] = [];
    let measured: MeasuredCurves | undefined;
    for (const variant of variants) {
      const hasImportance = variant.imatrix && withImportance(variant.source, variant.imatrix, options);
      const { backend } = options;
      const items = itemsOf(variant.source.tensors, { ...rules, backend, hasImportance, unloaded });
      // Fewer experts have the errors of all, which come first.
      if (measured === undefined || variant.kept === undefined) {
        const more = { ...options, collected: source.tensors };
        measured = await curvesOf(variant.source, items, variant.imatrix, fingerprint, more);
        if (curvesPath !== undefined && variant.source === source) {
          await writeCurves(curvesPath, { ...measured, source, imatrix, fingerprint }, options);
        }
        sensitivity = fittedTo(known, measured.curves);
      }
      try {
        const problem = { budget, sensitivity, items, curves: measured.curves };
        solved.push({ ...(await solveVariant(variant, problem, options)), variant, measured });
      } catch (error) {
        if (!(error instanceof UsageError)) {
          throw error;
        }
        failures.push(error);
      }
    }
    if (solved.length === 0) {
      // Of sizes the smallest model says most, of divergences the model as it is.
      throw failures.at(budget.targetKld === undefined ? -1 : 0);
    }
    const result = resultOf(solved, { budget, sensitivity, options, started });
    await writeTextFile(
      options.output,
      commentsOf(result, options) + renderRecipe(bestOf(solved, budget).recipe),
    );
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

/** A variant's recipe for the budget. */
interface SolvedVariant extends Solved<PlannedOutput> {
  readonly variant: ExpertVariant;
  /** Errors of the model with all experts. */
  readonly measured: MeasuredCurves;
}

async function solveVariant(
  variant: ExpertVariant,
  { budget, ...problem }: Problem,
  options: ResolvedPlanOptions,
): Promise<Solved<PlannedOutput>> {
  const { targetKld } = budget;
  const left = targetKld === undefined ? budget : { ...budget, targetKld: targetKld - variant.cost };
  return await solve(
    { ...problem, budget: left },
    {
      allocate,
      layOut: (types) => layOut(variant, budget, types, options),
      onAttempt: (done, total) => options.onProgress?.({ step: "solve", done, total, unit: "attempts" }),
      remedies:
        variant.imatrix === undefined ? ["give an `imatrix` (types of less than 2.6 bits need it)"] : [],
    },
  );
}

/** The recipe for these types, and what `quantize` makes of it. */
async function layOut(
  { source, imatrix, changes }: ExpertVariant,
  budget: Budget,
  types: ReadonlyMap<string, TypeName>,
  options: ResolvedPlanOptions,
): Promise<PlannedOutput> {
  const recipe = plannedRecipe(source.tensors, types, budget, changes);
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

/** Predicted divergence: what its types cost, and the experts that it lacks. */
function predictedOf({ allocation, variant }: SolvedVariant): number {
  return allocation.cost + variant.cost;
}

/** The smallest where a divergence is the budget, otherwise the one that loses least; of equals the first. */
function bestOf(solved: readonly SolvedVariant[], { targetKld }: Budget): SolvedVariant {
  const rank = (one: SolvedVariant) => (targetKld === undefined ? predictedOf(one) : one.bytes);
  return solved.reduce((best, one) => (rank(one) < rank(best) ? one : best));
}

interface ResultContext {
  readonly budget: Budget;
  readonly sensitivity: Sensitivity;
  readonly options: ResolvedPlanOptions;
  readonly started: number;
}

function resultOf(solved: readonly SolvedVariant[], context: ResultContext): PlanResult {
  const { budget, sensitivity } = context;
  const best = bestOf(solved, budget);
  const { output, types, allocation, budgetBytes, variant, measured } = best;
  const predicted = predictedOf(best);
  // With a target each choice has a budget of bytes of its own.
  const comparable = budget.targetKld === undefined ? solved : [best];
  const bounds = comparable.map((one) => one.allocation.bound + one.variant.cost);
  const bound = Math.min(predicted, ...bounds);
  const { changed } = variant;
  const tensors = output.tensors.map(({ name, to, bytes }) => ({
    name,
    type: types.get(name) ?? to,
    bytes,
    error: errorOf(name, to, measured.curves),
    alpha: alphaOf(name, sensitivity),
  }));
  const lowBit = lowBitTensors(output.tensors, tensors);
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
    predicted,
    bound,
    gap: predicted > 0 ? (predicted - bound) / predicted : 0,
    sensitivity: sensitivity.name,
    errors: measured.isMeasured ? "measured" : "typical",
    ...(solved.length > 1 && { weighed: solved.map(weighedVariant) }),
    ...(Object.keys(changed).length > 0 && { experts: { ...changed, divergence: variant.cost } }),
    ...(lowBit && { lowBit }),
    seconds: (performance.now() - context.started) / 1000,
    tensors,
  };
}

function lowBitTensors(
  quantized: PlannedOutput["output"]["tensors"],
  planned: readonly PlannedTensorResult[],
): LowBitTensors | undefined {
  const indices = [...quantized.keys()].filter((index) => isLowBit(quantized[index]?.from ?? "F32"));
  if (indices.length === 0) {
    return undefined;
  }
  const total = (of: (index: number) => number) => indices.reduce((sum, index) => sum + of(index), 0);
  return {
    count: indices.length,
    copiedBytes: total((index) => {
      const { name = "", from = "F32", shape = [] } = quantized[index] ?? {};
      return tensorBytes({ name, type: from, shape });
    }),
    bytes: total((index) => planned[index]?.bytes ?? 0),
    divergence: total((index) => (planned[index]?.alpha ?? 0) * (planned[index]?.error ?? 0)),
  };
}

function weighedVariant(solved: SolvedVariant): WeighedVariant {
  const { variant, bytes, bpw } = solved;
  const { changes, source } = variant;
  return {
    experts: new Architecture(source.metadata).experts,
    padded: changes.padExperts === true,
    bytes,
    bpw,
    predicted: predictedOf(solved),
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
    ...expertsLines(result),
    `Sensitivity: ${basis}.`,
    `Errors: ${errors}, ${imatrix === undefined ? "without importance matrix" : `with importance matrix ${basename(imatrix)}`}${inputs.map((name) => ` and ${name}`).join("")}.`,
  ]
    .map((line) => `# ${line.replace(/[\r\n]/g, " ")}\n`)
    .join("");
}

function expertsLines({ experts, weighed = [] }: PlanResult): string[] {
  const { count, width, divergence = 0 } = experts ?? {};
  const others = weighed.map(
    (one) => `${one.experts}${one.padded ? " padded" : ""} ${one.predicted.toPrecision(4)}`,
  );
  return [
    ...(count
      ? [
          `Experts: ${count.after} of ${count.before} in each layer, of which ${divergence.toPrecision(4)} nats.`,
        ]
      : []),
    ...(width ? [`Width of the experts: ${width.after} instead of ${width.before}.`] : []),
    ...(others.length > 0 ? [`Weighed, by experts in each layer: ${others.join(", ")}.`] : []),
  ];
}
