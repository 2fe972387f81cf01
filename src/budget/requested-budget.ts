/** The budget that the options of `plan` ask for. */
import { memoryLimitBytes } from "../engine/limits.js";
import { UsageError } from "../errors.js";
import { parseMachine } from "../memory/machines.js";
import { PlannedModel } from "../memory/planned-memory.js";
import { Architecture } from "../model/architecture.js";
import { loadedTensors } from "../model/prediction-facts.js";
import { withPrediction } from "../model/prediction-layers.js";
import type { ModelSource } from "../model/source.js";
import { type Budget, countingOnly, defaultContext, memoryBudget, statedBudgets } from "./budget.js";
import { budgetList, budgetsGiven, type ResolvedPlanOptions } from "./plan-command.js";

/** What the options leave for the weights. Throws a UsageError unless exactly one budget is given. */
export async function budgetFor(source: ModelSource, options: ResolvedPlanOptions): Promise<Budget> {
  const [kind, ...others] = budgetsGiven(options);
  if (kind === undefined || others.length > 0) {
    throw new UsageError(`a plan needs one budget: ${budgetList()}.`);
  }
  const part = kind === "memory" ? loadedPart(source) : withPrediction(source, options.mtp);
  const budget =
    kind === "memory"
      ? await machineBudget(source, options.memory ?? "", options)
      : statedBudgets[kind](options[kind] ?? 0, part.tensors);
  return countingOnly(budget, part.tensors);
}

/** What of a model takes memory. */
function loadedPart(source: ModelSource): ModelSource {
  const { name } = new Architecture(source.metadata);
  return { ...source, tensors: [...loadedTensors(source.tensors, name)] };
}

async function machineBudget(
  source: ModelSource,
  memory: string,
  options: ResolvedPlanOptions,
): Promise<Budget> {
  const machine = parseMachine(memory, memoryLimitBytes(), options.margin);
  const { ctx: context = defaultContext, parallel, cacheTypeK: keyType, cacheTypeV: valueType } = options;
  const planned = new PlannedModel(source, options.engine);
  try {
    const need = await planned.need({
      contextLength: context,
      sequences: parallel,
      keyType,
      valueType,
    });
    return memoryBudget(machine, context, need, source.tensors);
  } finally {
    await planned.close();
  }
}
