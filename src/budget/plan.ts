/** `plan`: the recipe that loses least within a budget. */

import { availableParallelism } from "node:os";
import { basename } from "node:path";
import { shownName } from "../bytes/address.js";
import { writeTextFile } from "../bytes/atomic-write.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { Engine } from "../engine/engine.js";
import { InternalError, UsageError } from "../errors.js";
import { padTo } from "../gguf/format.js";
import type { Imatrix } from "../imatrix/imatrix.js";
import { importanceFor, loadImportance } from "../imatrix/load-importance.js";
import { openModel } from "../model/open.js";
import { type RoleSelector, roleMatches, roleOf } from "../model/roles.js";
import { type ModelSource, rowCount, type SourceTensor, weightCount } from "../model/source.js";
import { ModelMoments } from "../moments/model-moments.js";
import { checkEffort, encoderEffort, predictOutput } from "../quantize/quantize.js";
import { EncoderPool } from "../quants/pool.js";
import { parseTypeName, rowBytes, type TypeName } from "../quants/types.js";
import { isQuantizable } from "../recipe/quantizable.js";
import type { Recipe } from "../recipe/recipe.js";
import { renderRecipe } from "../recipe/render.js";
import { version } from "../version.js";
import { type Allocation, type AllocationOption, allocate, smallestBytes } from "./allocate.js";
import { type Budget, budgetFor } from "./budget.js";
import { candidateTypes, parseRoleLimit, parseRoleSelector, type RoleLimit } from "./candidates.js";
import { type ErrorCurve, measureCurves } from "./error-curves.js";
import { defaultCachePath, ErrorCache } from "./measurement-cache.js";
import { modelFingerprint } from "./model-fingerprint.js";
import { type PlanOptions, planCommand, type ResolvedPlanOptions } from "./plan-command.js";
import { recipeOf } from "./planned-recipe.js";
import { defaultSensitivity, readSensitivity, type Sensitivity } from "./sensitivity/file.js";

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

/** What the user rules out. */
interface Rules {
  readonly limits: readonly RoleLimit[];
  /** Roles whose tensors get one type in all layers. */
  readonly tied: readonly RoleSelector[];
}

/** A tensor, or several that are to have the same type. */
interface Item {
  readonly tensors: readonly SourceTensor[];
  readonly types: readonly TypeName[];
}

/**
 * Solves the budget and writes the recipe. Throws a UsageError if the budget is below the smallest possible model,
 * if limits leave a tensor no type, and for an imatrix or sensitivity file of another model.
 */
export async function plan(given: PlanOptions): Promise<PlanResult> {
  const started = performance.now();
  const options = planCommand.read(given);
  const rules = rulesOf(options);
  checkEffort(options);
  const { model, output, errors, imatrix: imatrixPath, sensitivity: sensitivityPath, moments } = options;
  await checkOutputs([output, errors], [model, imatrixPath, sensitivityPath, moments]);
  const source = await openModel(options.model, { signal: options.signal });
  const engine = options.engine ?? new Engine();
  try {
    const imatrix = await loadImportance(options, source.tensors);
    const budget = await budgetFor(source, { ...options, engine });
    const fingerprint = await modelFingerprint(source);
    const sensitivity = await sensitivityFor(source, fingerprint, options);
    const items = itemsOf(source, imatrix, rules, options);
    const { curves, isMeasured } = await curvesFor(source, items, imatrix, fingerprint, options);
    const solved = await solve({ source, imatrix, budget, sensitivity, items, curves }, options);
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

/** What is ruled out. Throws a UsageError for what is no role or type. */
function rulesOf({ allow = [], atLeast = [], atMost = [], tie = [] }: ResolvedPlanOptions): Rules {
  return {
    limits: [
      ...allow.map((text) => parseRoleLimit(text, "allowed", parseTypeName)),
      ...atLeast.map((text) => parseRoleLimit(text, "least", parseTypeName)),
      ...atMost.map((text) => parseRoleLimit(text, "most", parseTypeName)),
    ],
    tied: tie.map(parseRoleSelector),
  };
}

async function sensitivityFor(
  source: ModelSource,
  fingerprint: string,
  { sensitivity }: ResolvedPlanOptions,
): Promise<Sensitivity> {
  const names = source.tensors
    .filter(({ name, shape }) => isQuantizable(name, shape))
    .map(({ name }) => name);
  if (sensitivity === undefined) {
    return defaultSensitivity(names);
  }
  return readSensitivity(sensitivity, { fingerprint, names });
}

/** All tensors with the types they may have; those of tied roles together. */
function itemsOf(
  source: ModelSource,
  imatrix: Imatrix | undefined,
  { limits, tied }: Rules,
  options: ResolvedPlanOptions,
): Item[] {
  const { backend } = options;
  const known = new Set(
    imatrix === undefined
      ? []
      : source.tensors.filter((tensor) => importanceFor(imatrix, tensor, options)).map(({ name }) => name),
  );
  const hasImportance = imatrix && ((name: string) => known.has(name));
  const items = new Map<string, { tensors: SourceTensor[]; types: TypeName[] }>();
  for (const tensor of source.tensors) {
    const { name, shape } = tensor;
    const types = candidateTypes(tensor, { limits, backend, hasImportance });
    const isTogether = isQuantizable(name, shape) && tied.some((role) => roleMatches(role, roleOf(name)));
    const key = isTogether ? roleOf(name) : name;
    const item = items.get(key);
    if (item === undefined) {
      items.set(key, { tensors: [tensor], types });
      continue;
    }
    item.tensors.push(tensor);
    item.types = item.types.filter((type) => types.includes(type));
    if (item.types.length === 0) {
      throw new UsageError(`\`tie\` ${key}: no type is possible for all of its tensors; let them be free.`);
    }
  }
  return [...items.values()];
}

async function curvesFor(
  source: ModelSource,
  items: readonly Item[],
  imatrix: Imatrix | undefined,
  fingerprint: string,
  options: ResolvedPlanOptions,
): Promise<Awaited<ReturnType<typeof measureCurves>>> {
  const tasks = items.flatMap(({ tensors, types }) => tensors.map((tensor) => ({ tensor, types })));
  const open = tasks.filter(({ types }) => types.length > 1);
  const moments =
    options.moments === undefined ? undefined : await ModelMoments.open(options.moments, source.tensors);
  const cache = await ErrorCache.open(options.errors ?? defaultCachePath(fingerprint));
  const pool = new EncoderPool(options.threads ?? availableParallelism());
  if (pool.warning) {
    options.onWarning?.(pool.warning);
  }
  try {
    return await measureCurves(open, imatrix, pool, cache, {
      ...options,
      effort: encoderEffort(options),
      moments,
    });
  } finally {
    await moments?.close();
    await pool.close();
    await cache.close();
  }
}

interface Problem {
  readonly source: ModelSource;
  readonly imatrix: Imatrix | undefined;
  readonly budget: Budget;
  readonly sensitivity: Sensitivity;
  readonly items: readonly Item[];
  readonly curves: ReadonlyMap<string, ErrorCurve>;
}

interface Solved {
  readonly recipe: Recipe;
  readonly types: ReadonlyMap<string, TypeName>;
  readonly allocation: Allocation;
  readonly output: Awaited<ReturnType<typeof predictOutput>>;
}

/** Header sizes differ by some bytes from recipe to recipe; so often the room for the header is corrected. */
const mostAttempts = 8;

/**
 * Allocates, writes down the recipe, and looks how large the file becomes: the header holds the recipe itself, so
 * that its size is known only then. If the file is too large, the tensors get that much less.
 */
async function solve(problem: Problem, options: ResolvedPlanOptions): Promise<Solved> {
  const { items, budget } = problem;
  const choices = items.map((item) => optionsOf(item, problem));
  const smallest = await layOut(
    problem,
    items.map((_, i) => smallestOption(choices[i] ?? [])),
    options,
  );
  const overhead = (output: Solved["output"], allocated: number) =>
    budget.isFile ? output.bytes - allocated : 0;
  let room = budget.bytes - overhead(smallest.output, smallestBytes(choices));
  if (room < smallestBytes(choices)) {
    throw tooSmall(problem, smallest.output, smallestBytes(choices));
  }
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    options.onProgress?.({ step: "solve", done: attempt, total: mostAttempts, unit: "attempts" });
    const allocation = await allocate(choices, room);
    if (allocation === undefined) {
      break;
    }
    const laidOut = await layOut(problem, allocation.choice, options);
    const excess = allocation.bytes + overhead(laidOut.output, allocation.bytes) - budget.bytes;
    if (excess <= 0) {
      return { ...laidOut, allocation };
    }
    room -= excess;
  }
  // Nothing but the smallest is left between a header that grows with the recipe and the budget.
  const choice = choices.map(smallestOption);
  const cost = choice.reduce((sum, at, item) => sum + (choices[item]?.[at]?.cost ?? 0), 0);
  const bytes = smallestBytes(choices);
  return { ...smallest, allocation: { choice, bytes, cost, bound: 0, gap: 1 } };
}

function smallestOption(options: readonly AllocationOption[]): number {
  return options.reduce((best, { bytes }, at) => (bytes < (options[best]?.bytes ?? 0) ? at : best), 0);
}

function optionsOf({ tensors, types }: Item, { budget, sensitivity, curves }: Problem): AllocationOption[] {
  return types.map((type) => ({
    bytes: tensors.reduce(
      (sum, { name, shape }) => sum + budget.copies(name) * storedBytes(type, shape, budget),
      0,
    ),
    cost: tensors.reduce(
      (sum, { name }) => sum + alphaOf(name, sensitivity) * errorOf(name, type, curves),
      0,
    ),
  }));
}

function storedBytes(type: TypeName, shape: readonly number[], { isFile }: Budget): number {
  const bytes = rowCount(shape) * rowBytes(type, shape[0] ?? 1);
  return isFile ? padTo(bytes, 32) : bytes;
}

function alphaOf(name: string, { alphas }: Sensitivity): number {
  return alphas.get(name) ?? 0;
}

function errorOf(name: string, type: TypeName, curves: ReadonlyMap<string, ErrorCurve>): number {
  return curves.get(name)?.get(type) ?? 0;
}

/** The recipe of an allocation, and what `quantize` makes of it. */
async function layOut(
  { source, items, imatrix, budget }: Problem,
  choice: readonly number[],
  options: ResolvedPlanOptions,
): Promise<Omit<Solved, "allocation">> {
  const types = new Map<string, TypeName>();
  for (const [i, { tensors, types: candidates }] of items.entries()) {
    for (const { name, type } of tensors) {
      types.set(name, candidates[choice[i] ?? 0] ?? type);
    }
  }
  const quantizable = source.tensors.filter(({ name, shape }) => isQuantizable(name, shape));
  const recipe = recipeOf(
    `planned-${bitsPerWeightOf(source, types).toFixed(2)}bpw`,
    `Least predicted divergence within ${budget.title}.`,
    quantizable.map(({ name, type }) => ({ name, type: types.get(name) ?? type })),
  );
  const { imatrix: imatrixPath, moments, priorWeight, effort, model } = options;
  const output = await predictOutput(source, recipe, imatrix, {
    model,
    output: "planned.gguf",
    imatrix: imatrixPath,
    moments,
    priorWeight,
    effort,
    allowRequantize: true,
  });
  const wrong = output.tensors.find(({ name, to }) => to !== types.get(name));
  if (wrong !== undefined) {
    throw new InternalError(
      `the recipe gives ${wrong.name} ${wrong.to} instead of ${types.get(wrong.name)}.`,
    );
  }
  return { recipe, types, output };
}

function bitsPerWeightOf(source: ModelSource, types: ReadonlyMap<string, TypeName>): number {
  const parameters = source.tensors.reduce((sum, { shape }) => sum + weightCount(shape), 0);
  const bytes = source.tensors.reduce(
    (sum, { name, type, shape }) => sum + rowCount(shape) * rowBytes(types.get(name) ?? type, shape[0] ?? 1),
    0,
  );
  return (8 * bytes) / parameters;
}

function tooSmall({ budget, imatrix }: Problem, smallest: Solved["output"], needed: number): UsageError {
  const { title, bytes, isFile, isMemory } = budget;
  const least = isFile ? smallest.bytes : needed;
  const remedies = [
    "raise the budget",
    ...(imatrix === undefined ? ["give an `imatrix` (types of less than 2.6 bits need it)"] : []),
    "allow smaller types",
    ...(isMemory ? ["choose a shorter context or smaller cache types"] : []),
  ];
  return new UsageError(
    `${title}: leaves ${bytes} bytes for the model, but the smallest that these limits allow takes ${least} bytes (${smallest.bpw.toFixed(2)} bits per weight); ${new Intl.ListFormat("en", { type: "disjunction" }).format(remedies)}.`,
    { budget: bytes, smallest: least },
  );
}

interface ResultContext {
  readonly budget: Budget;
  readonly sensitivity: Sensitivity;
  readonly curves: ReadonlyMap<string, ErrorCurve>;
  readonly options: ResolvedPlanOptions;
  readonly isMeasured: boolean;
  readonly started: number;
}

function resultOf({ output, types, allocation }: Solved, context: ResultContext): PlanResult {
  const { budget, sensitivity, curves, isMeasured } = context;
  return {
    recipe: context.options.output,
    bytes: output.bytes,
    tensorBytes: output.tensorBytes,
    bpw: output.bpw,
    budget: {
      title: budget.title,
      bytes: budget.bytes,
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
function commentsOf(result: PlanResult, { model, imatrix, moments }: ResolvedPlanOptions): string {
  const { bytes, bpw, predicted, bound, gap, sensitivity, errors, budget } = result;
  const optimality =
    gap === 0 ? "proven optimal" : `at least ${bound.toPrecision(4)}: gap ${(100 * gap).toFixed(2)} %`;
  const basis =
    sensitivity === "defaults"
      ? "defaults by role and depth (measure it with: lopsided sensitivity)"
      : `measured, ${basename(sensitivity)}`;
  return [
    `Planned by Lopsided ${version} for ${shownName(model)}, within ${budget.title}.`,
    `Size: ${bytes} bytes, ${bpw.toFixed(4)} bits per weight.`,
    `Predicted KL divergence from the source: ${predicted.toPrecision(4)} nats (${optimality}).`,
    `Sensitivity: ${basis}.`,
    `Errors: ${errors}, ${imatrix === undefined ? "without importance matrix" : `with importance matrix ${basename(imatrix)}`}${moments === undefined ? "" : ` and moments ${basename(moments)}`}.`,
  ]
    .map((line) => `# ${line.replace(/[\r\n]/g, " ")}\n`)
    .join("");
}
