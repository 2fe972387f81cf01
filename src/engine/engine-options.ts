/** Options of commands that run a model, each declared once. */
import { option } from "../contract/option.js";
import { instance, parsed, size, wholeNumber, yesNo } from "../contract/values.js";
import { parseCacheType } from "./cache-types.js";
import type { Engine } from "./engine.js";

export const engineThreads = option({
  short: "-t",
  value: "<n>",
  // GGML_MAX_N_THREADS
  schema: wholeNumber(1, 512),
  about: "threads that compute",
  unset: "the fastest number, measured, up to one per physical core",
});

export const gpuLayers = option({
  aliases: ["-ngl", "--n-gpu-layers"],
  value: "<n>",
  schema: wholeNumber(0),
  about: "layers to offload to the GPU, also -ngl",
  unset: "all; of a model too large for it as many as fit, or some at a time",
});

export const gpuMemory = option({
  value: "<size>",
  schema: size,
  about: "graphics memory to use for weights, 12GB for example",
  unset: "what is free, less 1 GiB per GPU",
});

export const cacheTypeK = option({
  aliases: ["-ctk"],
  value: "<type>",
  schema: parsed(parseCacheType),
  about: "type of the cached keys, also -ctk",
  default: "f16",
});

export const cacheTypeV = option({
  aliases: ["-ctv"],
  value: "<type>",
  schema: parsed(parseCacheType),
  about: "type of the cached values, also -ctv",
  default: "f16",
});

export const maxMemory = option({
  value: "<size>",
  schema: size,
  about: "memory to use, 8GB for example; a larger model is run some layers at a time",
  unset: "most of what is there",
});

export const layersPerWindow = option({
  schema: wholeNumber(1),
  about: "layers of a model that are run at a time, at most",
  unset: "as many as fit in memory",
  only: "library",
});

export const ignoreMemoryLimit = option({
  schema: yesNo,
  about:
    "run a model larger than all memory also if its layers cannot be run by themselves: it is read from the disk again and again",
  only: "library",
});

export const engine = option({
  schema: instance<Engine>("an Engine"),
  about: "an engine to use, which stays open; otherwise one is started and closed",
  only: "library",
});

/** What every command takes that runs a model as a whole or some layers at a time. */
export const runOptions = {
  threads: engineThreads,
  gpuLayers,
  gpuMemory,
  maxMemory,
  layersPerWindow,
  ignoreMemoryLimit,
};
