/** The budget that the options of `plan` ask for. */
import { memoryLimitBytes } from "../engine/limits.js";
import { UsageError } from "../errors.js";
import { parseMachine } from "../memory/machines.js";
import { PlannedModel } from "../memory/planned-memory.js";
import type { ModelSource } from "../model/source.js";
import { type Budget, bitsBudget, defaultContext, fileBudget, memoryBudget } from "./budget.js";
import type { ResolvedPlanOptions } from "./plan-command.js";

/** What the options leave for the weights. Throws a UsageError unless exactly one budget is given. */
export async function budgetFor(source: ModelSource, options: ResolvedPlanOptions): Promise<Budget> {
  const { memory, size, bpw } = options;
  if ([memory, size, bpw].filter((value) => value !== undefined).length !== 1) {
    throw new UsageError(
      'a plan needs one budget: `memory` (like "16GB GPU"), `size` (of the file, like 11.4GB) or `bpw` (bits per weight).',
    );
  }
  if (memory !== undefined) {
    return await machineBudget(source, memory, options);
  }
  return size === undefined ? bitsBudget(bpw ?? 0, source.tensors) : fileBudget(size);
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
