/** Options of the commands that let a model write, under llama-server's names. */
import { type Command, Option } from "commander";
import { UsageError } from "../errors.js";
import type { GeneratorOptions } from "../generate/generator.js";
import { type CacheType, parseCacheType } from "../memory/kv-cache.js";
import type { OnProgress } from "../progress.js";
import { read, wholeNumber } from "./arguments.js";

export interface GeneratorFlags {
  model?: string;
  ctxSize: number;
  gpuLayers?: number;
  cacheTypeK?: CacheType;
  cacheTypeV?: CacheType;
  threads?: number;
}

/** Adds the model, as an argument or `-m`, and how it is run. */
export function addGeneratorOptions(command: Command): Command {
  const cacheType = read(parseCacheType);
  return command
    .argument("[model]", "GGUF file, or first file of a split set")
    .addOption(new Option("-m, --model <file>", "the same, as llama-server has it"))
    .option("--gpu-layers <n>", "layers on graphics processors, also -ngl (default: all)", wholeNumber(0))
    .option("--cache-type-k <type>", "type of the cached keys, also -ctk (default: f16)", cacheType)
    .option("--cache-type-v <type>", "type of the cached values, also -ctv (default: f16)", cacheType)
    .option("-t, --threads <n>", "threads (default: all cores)", wholeNumber(1));
}

/**
 * The generator that the flags ask for.
 * @param slots answers at once; the context is divided among them
 */
export function generatorOptions(
  argument: string | undefined,
  flags: GeneratorFlags,
  slots: number,
  onProgress: OnProgress,
): GeneratorOptions & { model: { path: string } } {
  const path = argument ?? flags.model;
  if (path === undefined || (argument !== undefined && flags.model !== undefined)) {
    throw new UsageError("name one model: as an argument or with -m.");
  }
  const { gpuLayers, threads, cacheTypeK, cacheTypeV, ctxSize } = flags;
  if (ctxSize > 0 && ctxSize < slots) {
    throw new UsageError(`a context of ${ctxSize} tokens cannot be divided among ${slots} answers (-np).`);
  }
  return {
    model: { path, ...(gpuLayers === undefined ? {} : { gpuLayers }) },
    slots,
    contextLength: ctxSize > 0 ? Math.floor(ctxSize / slots) : undefined,
    threads,
    keyCacheType: cacheTypeK,
    valueCacheType: cacheTypeV,
    onLoad: (done) => onProgress({ step: "load", done: Math.round(100 * done), total: 100, unit: "%" }),
  };
}
