/** Options of the commands that let a model write, under llama-server's names, and the generator they ask for. */
import { option } from "../contract/option.js";
import { onProgress, onWarning, signal } from "../contract/shared-options.js";
import { number, text, wholeNumber } from "../contract/values.js";
import type { CacheType } from "../engine/cache-types.js";
import { cacheTypeK, cacheTypeV, engineThreads, gpuLayers, gpuMemory } from "../engine/engine-options.js";
import { UsageError } from "../errors.js";
import type { OnProgress } from "../progress.js";
import type { GeneratorOptions } from "./generator.js";
import { type SamplingOptions, samplingDefaults } from "./sampler.js";

export const generatorOptions = {
  model: option({
    isArgument: true,
    short: "-m",
    value: "<file>",
    required: true,
    schema: text,
    about: "GGUF file, or first file of a split set",
  }),
  ctxSize: option({
    short: "-c",
    value: "<n>",
    schema: wholeNumber(0),
    about: "tokens of context, divided among the slots; 0: the model's, up to 4096 each",
    default: 0,
  }),
  gpuLayers,
  gpuMemory,
  cacheTypeK,
  cacheTypeV,
  threads: engineThreads,
  onProgress,
  onWarning,
  signal,
} as const;

export const samplingOptions = {
  temp: option({
    value: "<n>",
    schema: number(),
    about: "temperature; 0 takes the likeliest token",
    default: samplingDefaults.temperature,
  }),
  topK: option({
    value: "<n>",
    schema: wholeNumber(0),
    about: "likeliest tokens to choose from; 0: all",
    default: samplingDefaults.topK,
  }),
  topP: option({
    value: "<n>",
    schema: number(),
    about: "probability that they have together",
    default: samplingDefaults.topP,
  }),
  minP: option({
    value: "<n>",
    schema: number(),
    about: "least probability, of the likeliest token's",
    default: samplingDefaults.minP,
  }),
  seed: option({
    short: "-s",
    value: "<n>",
    schema: wholeNumber(0, Number.MAX_SAFE_INTEGER),
    about: "equal seeds give equal answers",
    unset: "random",
  }),
} as const;

interface Settings {
  readonly model: string;
  readonly ctxSize: number;
  readonly gpuLayers?: number | undefined;
  readonly gpuMemory?: number | undefined;
  readonly cacheTypeK: CacheType;
  readonly cacheTypeV: CacheType;
  readonly threads?: number | undefined;
  readonly mmap?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/**
 * The generator that the options ask for. Throws a UsageError for a context that cannot be divided.
 * @param slots concurrent requests; the context is divided among them
 */
export function generatorFor(settings: Settings, slots: number): GeneratorOptions {
  const { model: path, gpuLayers, mmap, threads, cacheTypeK, cacheTypeV, ctxSize } = settings;
  const { gpuMemory, onProgress, onWarning } = settings;
  if (ctxSize > 0 && ctxSize < slots) {
    throw new UsageError(
      `\`ctxSize\` of ${ctxSize} tokens cannot be divided among ${slots} slots (\`parallel\`).`,
    );
  }
  return {
    model: {
      path,
      ...(gpuLayers === undefined ? {} : { gpuLayers }),
      ...(mmap === false && { memoryMap: false }),
    },
    slots,
    contextLength: ctxSize > 0 ? Math.floor(ctxSize / slots) : undefined,
    threads,
    keyCacheType: cacheTypeK,
    valueCacheType: cacheTypeV,
    gpuMemory,
    onNote: onWarning,
    onLoad: (done) => onProgress?.({ step: "load", done: Math.round(100 * done), total: 100, unit: "%" }),
  };
}

interface SamplingSettings {
  readonly temp: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly seed?: number | undefined;
}

/** How the options have tokens chosen. */
export function samplingFor({ temp, topK, topP, minP, seed }: SamplingSettings): Partial<SamplingOptions> {
  return { temperature: temp, topK, topP, minP, ...(seed !== undefined && { seed }) };
}
