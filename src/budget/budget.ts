/** Budgets of `plan`: how many bytes the tensors may take, and how they are counted. */

import { memoryLimitBytes } from "../engine/limits.js";
import { UsageError } from "../errors.js";
import { parseMachine } from "../memory/machines.js";
import { PlannedModel } from "../memory/planned-memory.js";
import { isTied } from "../model/roles.js";
import { type ModelSource, weightCount } from "../model/source.js";
import type { ResolvedPlanOptions } from "./plan-command.js";

export interface Budget {
  /** In the user's terms, for people. */
  readonly title: string;
  readonly bytes: number;
  /** Whether header and padding count: the budget is the file's size. */
  readonly isFile: boolean;
  /** Whether it is what a context leaves of a machine's memory. */
  readonly isMemory: boolean;
  /** How often a tensor counts: 0 if it lies in another memory. */
  readonly copies: (name: string) => number;
}

/** The context that a plan for a machine makes room for, unless the user says otherwise. */
const defaultContext = 4096;

/** What the options leave for the weights. Throws a UsageError unless exactly one budget is given. */
export async function budgetFor(source: ModelSource, options: ResolvedPlanOptions): Promise<Budget> {
  const { memory, size, bpw } = options;
  if ([memory, size, bpw].filter((value) => value !== undefined).length !== 1) {
    throw new UsageError(
      'a plan needs one budget: `memory` (like "16GB GPU"), `size` (of the file, like 11.4GB) or `bpw` (bits per weight).',
    );
  }
  if (memory !== undefined) {
    return memoryBudget(source, memory, options);
  }
  if (size !== undefined) {
    return { title: `a file of ${size} bytes`, bytes: size, isFile: true, isMemory: false, copies: () => 1 };
  }
  const parameters = source.tensors.reduce((sum, { shape }) => sum + weightCount(shape), 0);
  const bits = bpw ?? 0;
  if (!(bits > 0 && bits <= 32)) {
    throw new UsageError(`\`bpw\` is ${bits}; it must be above 0 and at most 32.`);
  }
  return {
    title: `${bits} bits per weight`,
    bytes: Math.floor((bits * parameters) / 8),
    isFile: false,
    isMemory: false,
    copies: () => 1,
  };
}

async function memoryBudget(
  source: ModelSource,
  memory: string,
  options: ResolvedPlanOptions,
): Promise<Budget> {
  const machine = parseMachine(memory, memoryLimitBytes(), options.margin);
  const { ctx: context = defaultContext, parallel, cacheTypeK: keyType, cacheTypeV: valueType } = options;
  const planned = new PlannedModel(source, options.engine);
  try {
    const { kvBytes, computeBytes } = await planned.need({
      contextLength: context,
      sequences: parallel,
      keyType,
      valueType,
    });
    const bytes = machine.bytes - machine.marginBytes - kvBytes - computeBytes;
    if (bytes <= 0) {
      throw new UsageError(
        `\`memory\` ${memory}: its ${machine.bytes} bytes do not even hold the context of ${context} tokens (${kvBytes} bytes of KV cache, ${computeBytes} of compute buffers, ${machine.marginBytes} left free); choose a shorter context or smaller cache types.`,
        { memory },
      );
    }
    // As in `fit`: a card does not hold the token embedding, unless it is the output too.
    const isElsewhere = machine.isCard && !isTied(source.tensors.map(({ name }) => name));
    return {
      title: `${machine.name} with ${context} tokens of context`,
      bytes,
      isFile: false,
      isMemory: true,
      copies: (name) => (isElsewhere && name === "token_embd.weight" ? 0 : 1),
    };
  } finally {
    await planned.close();
  }
}
