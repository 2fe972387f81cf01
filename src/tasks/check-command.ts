/** The contract of `check`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { onProgress, onWarning, runnableModel, signal } from "../contract/shared-options.js";
import { text, wholeNumber } from "../contract/values.js";
import { engine, engineThreads, gpuLayers, gpuMemory } from "../engine/engine-options.js";

export const checkCommand = defineCommand({
  name: "check",
  summary:
    "Tasks with checkable answers, decoded greedily and sampled; code is run in a sandbox. Also what users feel: length, repetition, broken fences and JSON, calls of tools.",
  options: {
    model: runnableModel,
    tasks: option({
      value: "<file>",
      schema: text,
      about: "tasks, one JSON object per line",
      unset: "those that ship with Lopsided",
    }),
    reference: option({
      value: "<model>",
      schema: text,
      about: "give the tasks to this model too, and compare the length of the answers",
    }),
    samples: option({
      value: "<n>",
      schema: wholeNumber(0, 1000),
      about: "also sample so many answers to each task, with seeds from 1 on",
      default: 0,
    }),
    ctx: option({
      short: "-c",
      value: "<n>",
      schema: wholeNumber(16),
      about: "tokens of a prompt and its answer",
      unset: "the model's, at most 4096",
    }),
    maxTokens: option({
      value: "<n>",
      schema: wholeNumber(1),
      about: "maximum tokens to generate, where a task does not say",
      default: 1024,
    }),
    parallel: option({
      aliases: ["-np"],
      value: "<n>",
      schema: wholeNumber(1),
      about: "concurrent requests",
      default: 8,
    }),
    threads: engineThreads,
    gpuLayers,
    gpuMemory,
    output: option({
      short: "-o",
      value: "<file>",
      schema: text,
      about: "write the result with all answers to a JSON file",
    }),
    onProgress,
    onWarning,
    signal,
    engine,
  },
});

export type CheckOptions = OptionsOf<typeof checkCommand>;
