/** What `make` is asked for. */
import { realpath, stat } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import type { BudgetOptions } from "../budget/budget.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { UsageError } from "../errors.js";
import type { Effort } from "../quants/effort.js";
import { parseBaseOption } from "../recipe/presets.js";
import { checkReadable, checkText } from "../text/text.js";
import type { StageListener } from "./stages.js";

export interface MakeOptions extends Omit<BudgetOptions, "engine"> {
  /** GGUF file, first file of a split set, Hugging Face folder, or one of them on a server. */
  readonly model: string;
  /** Folder for the result; it is created. */
  readonly output: string;
  /** A recipe as for `quantize`; `asym-2bit-experts` by default. Excludes a budget (`memory`, `size`, `bpw`). */
  readonly recipe?: string | undefined;
  /** Path of the text that the importance matrix is computed from. */
  readonly calibration: string;
  /** Path of the text to measure on, another one; nothing is measured without it. */
  readonly evaluate?: string | undefined;
  /** A mixture to build and measure, the path of a GGUF file to measure, or `none`; `Q4_K_M` by default. */
  readonly baseline?: string | undefined;
  /** Path of a file of tasks for `check`; those that come with Lopsided by default. */
  readonly tasks?: string | undefined;
  /** Give the models tasks; true by default. */
  readonly check?: boolean | undefined;
  /** Who made it, for the card. */
  readonly quantizedBy?: string | undefined;
  /** First part of the files' names; the model's own name by default. */
  readonly name?: string | undefined;
  /** How long encoders search; with `max` moments are collected and used. */
  readonly effort?: Effort | "max" | undefined;
  /** With a budget: measure what errors in each tensor cost rather than go by role and depth; true by default. */
  readonly sensitivity?: boolean | undefined;
  /** Chunks that sensitivity is measured on, of the calibration text; 8 by default. */
  readonly sensitivityChunks?: number | undefined;
  /** Tokens in a chunk of calibration; 512 by default. */
  readonly calibrationContext?: number | undefined;
  /** Most chunks of calibration; 128 by default. */
  readonly chunks?: number | undefined;
  /** Tokens in a chunk of evaluation; 512 by default. */
  readonly evaluationContext?: number | undefined;
  /** Most chunks of evaluation; 200 by default. */
  readonly evaluationChunks?: number | undefined;
  /** Read control tokens such as `<|im_start|>` in the texts as such. */
  readonly parseSpecial?: boolean | undefined;
  readonly priorWeight?: number | undefined;
  /** Quantize a source that has less than eight bits already. */
  readonly allowRequantize?: boolean | undefined;
  /** Most bytes of tensors in a file of the result; one file by default. */
  readonly splitMaxBytes?: number | undefined;
  /** The command line, for the card. */
  readonly command?: string | undefined;
  readonly threads?: number | undefined;
  /** Layers on graphics processors; all by default, if there are any. */
  readonly gpuLayers?: number | undefined;
  readonly onStage?: StageListener["onStage"] | undefined;
  readonly onProgress?: StageListener["onProgress"] | undefined;
  readonly onWarning?: ((warning: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const defaultRecipe = "asym-2bit-experts";
export const defaultSensitivityChunks = 8;

/** Whether types are chosen by a budget, not by a recipe. */
export function hasBudget({ memory, size, bpw }: MakeOptions): boolean {
  return [memory, size, bpw].some((value) => value !== undefined);
}

/** Finds out before the hours of work what can be known to be wrong. */
export async function checkMakeOptions(options: MakeOptions): Promise<void> {
  const { recipe, memory, context, calibration, evaluate, tasks } = options;
  if (recipe !== undefined && hasBudget(options)) {
    throw new UsageError("--recipe and a budget (--memory, --size, --bpw) both choose the types; use one.");
  }
  if (context !== undefined && memory === undefined) {
    throw new UsageError("--ctx is the context that --memory makes room for; give --memory too.");
  }
  for (const path of [calibration, evaluate, tasks]) {
    if (path !== undefined) {
      await checkText(path);
    }
  }
  const baseline = await baselineOf(options);
  const compared = baseline.kind === "file" ? baseline.path : undefined;
  await checkInputs(options.output, [options.model, recipe, calibration, evaluate, tasks, compared]);
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
export function buildsBaseline({ evaluate, baseline }: MakeOptions): boolean {
  return evaluate !== undefined && baseline !== "none" && !isPath(baseline ?? "");
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
export async function baselineOf({ baseline = "Q4_K_M", evaluate }: MakeOptions): Promise<Baseline> {
  if (evaluate === undefined || baseline === "none") {
    return { kind: "none" };
  }
  const found = await stat(baseline).catch(() => undefined);
  if (found?.isFile() || isPath(baseline)) {
    await checkReadable(baseline);
    return { kind: "file", path: baseline };
  }
  return { kind: "mixture", name: parseBaseOption(baseline) };
}
