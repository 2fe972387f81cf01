/** The options that say how large a model may be, for the commands that choose types. */
import type { Command } from "commander";
import type { BudgetOptions } from "../budget/budget.js";
import { parseSize } from "../bytes/size.js";
import { type CacheType, parseCacheType } from "../memory/kv-cache.js";
import { notNegative, read, wholeNumber } from "./arguments.js";

export interface BudgetFlags {
  memory?: string;
  ctx?: number;
  cacheTypeK?: CacheType;
  cacheTypeV?: CacheType;
  parallel?: number;
  margin?: number;
  size?: number;
  bpw?: number;
}

export function addBudgetOptions(command: Command): Command {
  const cacheType = read(parseCacheType);
  return command
    .option(
      "--memory <amount|machine>",
      'budget: model and context fit into 16GB, "16GB GPU", "16GB Mac", "host RAM"',
    )
    .option("--ctx <n>", "with --memory: tokens of context for each sequence (default: 4096)", wholeNumber(1))
    .option("--cache-type-k <type>", "with --memory: type of the cached keys (default: f16)", cacheType)
    .option("--cache-type-v <type>", "with --memory: type of the cached values (default: f16)", cacheType)
    .option("--parallel <n>", "with --memory: conversations at once (default: 1)", wholeNumber(1))
    .option("--margin <size>", "with --memory: memory to leave free (default: 1GiB)", read(parseSize))
    .option("--size <size>", "budget: size of the file, like 11.4GB", read(parseSize))
    .option("--bpw <bits>", "budget: bits per weight, like 2.99", notNegative);
}

/** The budget by the library's names. */
export function budgetOf(flags: BudgetFlags): Omit<BudgetOptions, "engine"> {
  const { memory, ctx, cacheTypeK, cacheTypeV, parallel, margin, size, bpw } = flags;
  return {
    memory,
    context: ctx,
    keyType: cacheTypeK,
    valueType: cacheTypeV,
    parallel,
    marginBytes: margin,
    size,
    bpw,
  };
}
