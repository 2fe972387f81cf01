/** Budgets: how many bytes the tensors may take, and how they are counted. */
import { UsageError } from "../errors.js";
import type { Machine } from "../memory/machines.js";
import { isTied } from "../model/roles.js";
import { weightCount } from "../model/source.js";

export interface Budget {
  /** In the user's terms, for people. */
  readonly title: string;
  readonly bytes: number;
  /** Nats of predicted divergence that say how many of the bytes are used: as few as keep to it. */
  readonly targetKld?: number;
  /** Whether header and padding count: the budget is the file's size. */
  readonly isFile: boolean;
  /** Whether it is what a context leaves of a machine's memory. */
  readonly isMemory: boolean;
  /** How often a tensor counts: 0 if it lies in another memory. */
  readonly copies: (name: string) => number;
  /** Tensors that are in another file, or not in memory; none by default. */
  readonly unloaded?: (name: string) => boolean;
}

/** A file of so many bytes. */
export function fileBudget(bytes: number): Budget {
  return { title: `a file of ${bytes} bytes`, bytes, isFile: true, isMemory: false, copies: () => 1 };
}

/** So many bits for each weight. Throws a UsageError for what cannot be. */
export function bitsBudget(bits: number, tensors: readonly { readonly shape: readonly number[] }[]): Budget {
  if (!(bits > 0 && bits <= 32)) {
    throw new UsageError(`\`bpw\` is ${bits}; it must be above 0 and at most 32.`);
  }
  const parameters = tensors.reduce((sum, { shape }) => sum + weightCount(shape), 0);
  return {
    title: `${bits} bits per weight`,
    bytes: Math.floor((bits * parameters) / 8),
    isFile: false,
    isMemory: false,
    copies: () => 1,
  };
}

/** As many bytes as a predicted divergence takes. */
export function divergenceBudget(targetKld: number): Budget {
  return {
    title: `a predicted KL divergence of ${targetKld} nats`,
    bytes: Infinity,
    targetKld,
    isFile: false,
    isMemory: false,
    copies: () => 1,
  };
}

/** Budgets that one number states, by the option of `plan` that asks for them. */
export const statedBudgets = { size: fileBudget, bpw: bitsBudget, targetKld: divergenceBudget } as const;

/** The context that a plan for a machine makes room for, unless the user says otherwise. */
export const defaultContext = 4096;

/** What the context leaves of a machine's memory. Throws a UsageError if that is nothing. */
export function memoryBudget(
  machine: Machine,
  context: number,
  { kvBytes, computeBytes }: { readonly kvBytes: number; readonly computeBytes: number },
  tensors: readonly { readonly name: string }[],
): Budget {
  const bytes = machine.bytes - machine.marginBytes - kvBytes - computeBytes;
  if (bytes <= 0) {
    throw new UsageError(
      `\`memory\` ${machine.name}: its ${machine.bytes} bytes do not even hold the context of ${context} tokens (${kvBytes} bytes of KV cache, ${computeBytes} of compute buffers, ${machine.marginBytes} left free); choose a shorter context or smaller cache types.`,
      { memory: machine.name },
    );
  }
  // As in `fit`: a card does not hold the token embedding, unless it is the output too.
  const isElsewhere = machine.isCard && !isTied(tensors.map(({ name }) => name));
  return {
    title: `${machine.name} with ${context} tokens of context`,
    bytes,
    isFile: false,
    isMemory: true,
    copies: (name) => (isElsewhere && name === "token_embd.weight" ? 0 : 1),
  };
}

/** A budget that these tensors alone count for; the others are in another file, or not in memory. */
export function countingOnly(budget: Budget, tensors: readonly { readonly name: string }[]): Budget {
  const counted = new Set(tensors.map(({ name }) => name));
  return {
    ...budget,
    unloaded: (name) => !counted.has(name),
    copies: (name) => (counted.has(name) ? budget.copies(name) : 0),
  };
}
