/** What `make` is asked for. */
import { realpath, stat } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { budgetsGiven } from "../budget/plan-command.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { UsageError } from "../errors.js";
import { queueSettings } from "../queue/settings.js";
import { parseBaseOption } from "../recipe/presets.js";
import { explorerFileName } from "../report/evaluation.js";
import { namedTexts } from "../text/named-text.js";
import { checkReadable, checkText } from "../text/text.js";
import type { ResolvedMakeOptions } from "./make-command.js";

/** The options with as many chunks of calibration as the tokens take that were asked for. */
export function withChunks(options: ResolvedMakeOptions): ResolvedMakeOptions {
  const { calibrationTokens, ctxCalibration } = options;
  return calibrationTokens === undefined
    ? options
    : { ...options, chunks: Math.ceil(calibrationTokens / ctxCalibration) };
}

/** Whether types are chosen by a budget, not by a recipe. */
export function hasBudget(options: ResolvedMakeOptions): boolean {
  return budgetsGiven(options).length > 0;
}

/**
 * Whether types are planned twice, the second time by what the errors of a first quantization cost. That has the
 * experts of the source, so that it says nothing of fewer or wider ones.
 */
export function measuresSolution(options: ResolvedMakeOptions): boolean {
  const { effort, sensitivity, prune, padExperts } = options;
  return hasBudget(options) && effort === "max" && sensitivity && prune === undefined && !padExperts;
}

/** Finds out before the hours of work what can be known to be wrong. */
export async function checkMakeOptions(options: ResolvedMakeOptions): Promise<void> {
  const { recipe, memory, ctx, calibration, evaluate, tasks } = options;
  const evaluated = (await namedTexts(evaluate || [])).map(({ path }) => path);
  if (recipe !== undefined && hasBudget(options)) {
    const given = budgetsGiven(options).map((name) => `\`${name}\``);
    throw new UsageError(`\`recipe\` and a budget (${given.join(", ")}) both choose the types; use one.`);
  }
  if (ctx !== undefined && memory === undefined) {
    throw new UsageError("`ctx` is the context that `memory` makes room for; give `memory` too.");
  }
  if (options.prune !== undefined && !hasBudget(options)) {
    throw new UsageError(
      "`prune` is weighed against fewer bits: give a budget too, or a recipe file with `keepExperts`.",
    );
  }
  queueSettings(options);
  for (const path of [calibration, ...evaluated, tasks]) {
    if (path !== undefined) {
      await checkText(path);
    }
  }
  const baseline = await baselineOf(options);
  const compared = baseline.kind === "file" ? baseline.path : undefined;
  await checkInputs(options.output, [options.model, recipe, calibration, ...evaluated, tasks, compared]);
}

/** Files that stages write into the folder; the model's name is known later, and checked where it is written. */
const written = [
  "imatrix.gguf",
  "imatrix.dat",
  "recipe.yaml",
  "evaluation.json",
  "README.md",
  "README.edited.md",
  "report.html",
  explorerFileName,
];

/** Throws a UsageError if what is read would be overwritten or lies where unfinished work is thrown away. */
async function checkInputs(folder: string, inputs: readonly (string | undefined)[]): Promise<void> {
  await checkOutputs(
    written.map((name) => join(folder, name)),
    inputs,
  );
  const work = await realpath(join(folder, ".lopsided")).catch(() => undefined);
  for (const input of inputs) {
    const place = input === undefined ? undefined : await realpath(input).catch(() => undefined);
    if (work !== undefined && place !== undefined && `${dirname(place)}${sep}`.startsWith(`${work}${sep}`)) {
      throw new UsageError(
        `${input}: lies in ${work}, where files come and go with the work; move it elsewhere.`,
        { file: input },
      );
    }
  }
}

/** Whether a baseline is built, as far as its name tells. */
export function buildsBaseline({ evaluate, baseline }: ResolvedMakeOptions): boolean {
  return evaluate !== false && baseline !== "none" && !isPath(baseline);
}

/** Whether a baseline is meant as a file even if there is none. */
function isPath(baseline: string): boolean {
  return /[\\/]|\.gguf$/i.test(baseline);
}

/** What the baseline is: nothing, a mixture to build, or a file. */
export type Baseline =
  | { readonly kind: "none" }
  | { readonly kind: "mixture"; readonly name: string }
  | { readonly kind: "file"; readonly path: string };

/** Throws a UsageError for a baseline that is neither a file nor a mixture's name. */
export async function baselineOf({ baseline, evaluate }: ResolvedMakeOptions): Promise<Baseline> {
  if (evaluate === false || baseline === "none") {
    return { kind: "none" };
  }
  const found = await stat(baseline).catch(() => undefined);
  if (found?.isFile() || isPath(baseline)) {
    await checkReadable(baseline);
    return { kind: "file", path: baseline };
  }
  return { kind: "mixture", name: parseBaseOption(baseline) };
}
