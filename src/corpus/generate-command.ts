/** The contract of `generate`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { onProgress, onWarning, restart, runnableModel, signal } from "../contract/shared-options.js";
import { text, wholeNumber } from "../contract/values.js";
import { engine, engineThreads, gpuLayers, gpuMemory } from "../engine/engine-options.js";
import { samplingOptions } from "../generate/generator-options.js";

export const generateCommand = defineCommand({
  name: "generate",
  summary:
    "Answers of a model to prompts, as conversations to calibrate and evaluate on: the text that it will see in use. The same command goes on after an interruption, to the same bytes.",
  options: {
    model: runnableModel,
    prompts: option({
      isArgument: true,
      required: true,
      schema: text,
      about: 'a prompt in each line, or JSONL: {"messages": [...], "tools": [...]} or {"prompt": "..."}',
    }),
    output: option({
      short: "-o",
      value: "<file>",
      required: true,
      schema: text,
      about: "conversations, one JSON object per line, for --calibration and --evaluate: NAME.jsonl",
    }),
    samples: option({
      value: "<n>",
      schema: wholeNumber(1, 1000),
      about: "answers to each prompt",
      default: 1,
    }),
    nPredict: option({
      short: "-n",
      value: "<n>",
      schema: wholeNumber(1),
      about: "tokens of an answer at most",
      default: 1024,
    }),
    ...samplingOptions,
    seed: option({
      short: "-s",
      value: "<n>",
      schema: wholeNumber(0, Number.MAX_SAFE_INTEGER),
      about: "of which each answer has its own",
      default: 1,
    }),
    ctx: option({
      short: "-c",
      value: "<n>",
      schema: wholeNumber(16),
      about: "tokens of a prompt and its answer",
      unset: "the model's, at most 4096",
    }),
    parallel: option({
      aliases: ["-np"],
      value: "<n>",
      schema: wholeNumber(1, 256),
      about: "answers written at once; others may differ in their last words",
      default: 8,
    }),
    threads: engineThreads,
    gpuLayers,
    gpuMemory,
    restart,
    onProgress,
    onWarning,
    signal,
    engine,
  },
});

export type GenerateOptions = OptionsOf<typeof generateCommand>;
