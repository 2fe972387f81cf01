/** The context in which answers are written: one cache, of which every slot has a sequence. */
import type { ContextOptions } from "../engine/context.js";
import { UsageError } from "../errors.js";
import type { TypeName } from "../quants/types.js";

export interface ContextShape {
  /** Answers written at once. */
  readonly slots: number;
  /** Tokens that each may have with its prompt. */
  readonly contextLength: number;
  readonly batchSize: number;
  readonly threads?: number | undefined;
  readonly keyCacheType?: TypeName | undefined;
  readonly valueCacheType?: TypeName | undefined;
}

/** Tokens computed at once, unless asked for. */
export const defaultBatchTokens = 512;

/** Most tokens of a slot unless asked for: a cache for what models are trained with may not fit. */
const mostTokensOfSlot = 4096;

/** Tokens of a slot unless asked for: what the model was trained with (0: unknown), up to a bound. */
export function defaultContextLength(trained: number): number {
  return trained > 0 ? Math.min(trained, mostTokensOfSlot) : mostTokensOfSlot;
}

/** Throws a UsageError if there is no slot. */
export function contextOptions(shape: ContextShape): ContextOptions {
  const { slots, contextLength, batchSize, threads, keyCacheType, valueCacheType } = shape;
  if (slots < 1) {
    throw new UsageError(`${slots} slots cannot answer; use at least 1.`);
  }
  return {
    contextLength,
    sequences: slots,
    sharedCache: true,
    windowedCache: true,
    batchSize,
    microBatchSize: batchSize,
    outputs: slots,
    interruptible: false, // requests are cancelled between batches
    ...(threads === undefined ? {} : { threads }),
    ...(keyCacheType === undefined ? {} : { keyCacheType }),
    ...(valueCacheType === undefined ? {} : { valueCacheType }),
  };
}
