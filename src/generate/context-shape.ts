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
