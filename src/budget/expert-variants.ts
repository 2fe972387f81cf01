/** Changes of a model's routed experts that a plan weighs against fewer bits: fewer of them, or wider ones. */
import { UsageError } from "../errors.js";
import {
  type ExpertChanges,
  type ModelWithChangedExperts,
  withChangedExperts,
} from "../imatrix/changed-experts.js";
import type { LayerChoice } from "../imatrix/expert-choice.js";
import { readImatrixFile } from "../imatrix/file.js";
import type { Imatrix } from "../imatrix/imatrix.js";
import { Architecture } from "../model/architecture.js";
import { checkPrunable } from "../model/pruned-experts.js";
import type { ModelSource } from "../model/source.js";
import { alphaOf } from "./problem.js";
import type { Sensitivity } from "./sensitivity/defaults.js";

/** One way to change the experts, and the model with it. */
export interface ExpertVariant extends ModelWithChangedExperts {
  readonly changes: ExpertChanges;
  /** Predicted divergence for the dropped experts, in nats; 0 if all stay. */
  readonly cost: number;
}

export interface VariantOptions {
  /** Numbers of experts to keep, as in "96,64", or "auto". */
  readonly prune?: string | undefined;
  readonly padExperts?: boolean | undefined;
  /** Path of the importance matrix, which says what each expert adds. */
  readonly imatrix?: string | undefined;
  readonly onWarning?: ((warning: string) => void) | undefined;
}

/** Shares of a model's experts that are tried if the user names no numbers. */
const usualShares = [7 / 8, 3 / 4, 5 / 8, 1 / 2];

/**
 * The model as it is, and with each change that the options allow; of the same padding, first with all experts, then with
 * fewer and fewer. Errors: see `withChangedExperts`; a UsageError for
 * numbers of experts that are none.
 */
export async function expertVariants(
  model: ModelSource,
  importance: Imatrix | undefined,
  sensitivity: Sensitivity,
  options: VariantOptions,
): Promise<ExpertVariant[]> {
  const counts = options.prune === undefined ? [] : countsToKeep(options.prune, model);
  const { imatrix, onWarning } = options;
  const statistics = counts.length > 0 && imatrix !== undefined ? await readImatrixFile(imatrix) : undefined;
  const variants: ExpertVariant[] = [];
  for (const padExperts of options.padExperts ? [false, true] : [false]) {
    for (const keepExperts of [undefined, ...counts]) {
      const changes = {
        ...(keepExperts !== undefined && { keepExperts }),
        ...(padExperts && { padExperts }),
      };
      const changed = await withChangedExperts(model, importance, changes, { statistics, onWarning });
      if (!padExperts || changed.changed.width !== undefined) {
        variants.push({ ...changed, changes, cost: pruningCost(changed.choices, sensitivity) });
      }
    }
  }
  return variants;
}

/** The numbers of experts that a text asks for. Throws a UsageError for what is none, or cannot be kept. */
export function countsToKeep(text: string, model: ModelSource): number[] {
  if (text === "auto") {
    return usualCounts(model);
  }
  const counts = text.split(",").map(Number);
  if (counts.every((count) => Number.isSafeInteger(count) && count > 0)) {
    for (const count of counts) {
      checkPrunable(model, count);
    }
    return [...new Set(counts)].sort((a, b) => b - a);
  }
  throw new UsageError(`\`prune\` "${text}": expected numbers of experts to keep, like 96,64, or auto.`, {
    value: text,
  });
}

/** Those that the model can have. Throws the UsageError of the first if it can have none. */
function usualCounts(model: ModelSource): number[] {
  const { experts, expertsUsed } = new Architecture(model.metadata);
  const counts = usualShares
    .map((share) => Math.round(share * experts))
    .filter((count) => count >= expertsUsed);
  const problems: unknown[] = [];
  const possible = counts.filter((count) => {
    try {
      checkPrunable(model, count);
      return true;
    } catch (error) {
      problems.push(error);
      return false;
    }
  });
  if (possible.length === 0) {
    throw (
      problems[0] ??
      new UsageError(`${model.name}: its tokens take most of its ${experts} experts; none can be dropped.`)
    );
  }
  return possible;
}

/**
 * How much more a dropped expert costs than random errors of the same size in the layer's down matrices: its output is
 * missing from every token that chose it, in the same direction, and later layers route differently. Measured on the
 * tiny model with 15 to 8 of 16 experts: `bench/pruning.mjs`, docs/benchmarks.md.
 */
export const pruningFactor = 19;

/** What dropping experts is predicted to cost, in nats: in each layer the part lost, times what such errors cost. */
export function pruningCost(choices: readonly LayerChoice[], sensitivity: Sensitivity): number {
  return pruningFactor * lossToWeigh(choices, sensitivity);
}

/** The same without the factor. */
export function lossToWeigh(choices: readonly LayerChoice[], sensitivity: Sensitivity): number {
  return choices.reduce(
    (sum, { layer, lost = 0 }) => sum + lost * alphaOf(`blk.${layer}.ffn_down_exps.weight`, sensitivity),
    0,
  );
}
