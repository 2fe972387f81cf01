/** A model with fewer or wider experts, and its statistics to match: what `quantize` and `plan` make of a recipe's keys. */
import { UsageError } from "../errors.js";
import { Architecture } from "../model/architecture.js";
import { withPaddedExperts } from "../model/padded-experts.js";
import {
  checkPrunable,
  expertLayersOf,
  type KeptExperts,
  withPrunedExperts,
} from "../model/pruned-experts.js";
import type { ModelSource } from "../model/source.js";
import { chooseExperts, type LayerChoice } from "./expert-choice.js";
import type { Imatrix } from "./imatrix.js";
import { paddedImatrix } from "./padded.js";
import { prunedImatrix } from "./pruned.js";

/** What becomes of a model's routed experts besides their types. */
export interface ExpertChanges {
  /** Experts that each layer keeps; all if undefined. */
  readonly keepExperts?: number | undefined;
  readonly padExperts?: boolean | undefined;
}

/** What became of them, for people; what did not change is absent. */
export interface ChangedExperts {
  /** Experts in each layer, and the part that the dropped ones have of what all add, on average over the layers. */
  readonly count?: { readonly before: number; readonly after: number; readonly lost?: number };
  /** Width of the widest experts. */
  readonly width?: { readonly before: number; readonly after: number };
}

export interface ModelWithChangedExperts {
  /** As it is to be quantized. */
  readonly source: ModelSource;
  readonly imatrix: Imatrix | undefined;
  /** The same with all experts: the numbers of experts in files of statistics are those of its. */
  readonly whole: ModelSource;
  /** Which experts each layer keeps; undefined if all stay. */
  readonly kept: KeptExperts | undefined;
  /** For each layer what is lost with the dropped experts; empty if all stay. */
  readonly choices: readonly LayerChoice[];
  readonly changed: ChangedExperts;
}

export interface ChangeOptions {
  /** The importance matrix as it was collected, which says what each expert adds. */
  readonly statistics?: Imatrix | undefined;
  /** Without an importance matrix take any experts, for the sizes. */
  readonly dryRun?: boolean | undefined;
  readonly onWarning?: ((warning: string) => void) | undefined;
}

/**
 * A model with changed experts. Throws a UsageError if its experts cannot be padded, or so many cannot be kept, or the
 * importance matrix does not say what each adds.
 * @param importance of the model as it is, as it will be used
 */
export async function withChangedExperts(
  model: ModelSource,
  importance: Imatrix | undefined,
  { keepExperts, padExperts }: ExpertChanges,
  options: ChangeOptions,
): Promise<ModelWithChangedExperts> {
  const whole = padExperts ? withPaddedExperts(model) : model;
  const wide = importance && paddedImatrix(importance, model.tensors, whole.tensors);
  const width = { before: widthOf(model), after: widthOf(whole) };
  const padded = width.after > width.before ? { width } : {};
  if (keepExperts === undefined) {
    return { source: whole, imatrix: wide, whole, kept: undefined, choices: [], changed: padded };
  }
  checkPrunable(model, keepExperts);
  const choices = await choicesOf(model, keepExperts, options);
  const kept = new Map(choices.map((choice) => [choice.layer, choice.kept]));
  const { experts: before } = new Architecture(model.metadata);
  const losses = choices.flatMap(({ lost }) => lost ?? []);
  const lost = losses.reduce((sum, value) => sum + value, 0) / losses.length;
  const count = { before, after: keepExperts, ...(losses.length > 0 && { lost }) };
  return {
    source: withPrunedExperts(whole, kept),
    imatrix: wide && prunedImatrix(wide, kept),
    whole,
    kept,
    choices,
    changed: { ...padded, count },
  };
}

async function choicesOf(
  model: ModelSource,
  count: number,
  { statistics, dryRun, onWarning }: ChangeOptions,
): Promise<LayerChoice[]> {
  if (statistics !== undefined) {
    const choices = await chooseExperts(model, statistics, count);
    warnOfGuesses(choices, onWarning);
    return choices;
  }
  const problem = `each layer is to keep ${count} experts, and an importance matrix must say which; collect one with "lopsided imatrix --expert-outputs" and give it as \`imatrix\`.`;
  if (!dryRun) {
    throw new UsageError(problem);
  }
  onWarning?.(`the real run would be refused: ${problem}`);
  const { experts } = new Architecture(model.metadata);
  const all = Array.from({ length: experts }, (_, expert) => expert);
  const [kept, dropped] = [all.slice(0, count), all.slice(count)];
  return expertLayersOf(model.tensors).map((layer) => ({ layer, kept, dropped, lost: undefined }));
}

/** Warns of layers whose experts were chosen without having been run. */
export function warnOfGuesses(
  choices: readonly LayerChoice[],
  onWarning: ((warning: string) => void) | undefined,
): void {
  const guessed = choices.filter(({ lost }) => lost === undefined).map(({ layer }) => layer);
  if (guessed.length > 0) {
    onWarning?.(
      `layers that predict further tokens (${guessed.join(", ")}) were not run when the statistics were collected; their experts are chosen by the length of their router's rows, which changes how often predictions are right, not what the model says.`,
    );
  }
}

function widthOf({ tensors }: ModelSource): number {
  const widths = tensors
    .filter(({ name }) => name.endsWith(".ffn_down_exps.weight"))
    .map(({ shape: [columns = 0] }) => columns);
  return Math.max(0, ...widths);
}
