/** The contract of `fit`, and the options that say what memory there is, which `plan` and `make` have too. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { readableModel, signal } from "../contract/shared-options.js";
import { size, text, wholeNumber, yesNo } from "../contract/values.js";
import { cacheTypeK, cacheTypeV, engine } from "../engine/engine-options.js";
import { machineExamples } from "./machines.js";

export const ctx = option({
  short: "-c",
  value: "<n>",
  schema: wholeNumber(1),
  about: "tokens of context for each sequence",
  unset: "the most that fits",
});

export const parallel = option({
  aliases: ["-np"],
  value: "<n>",
  schema: wholeNumber(1),
  about: "conversations at once, each with its own context",
  default: 1,
});

export const memory = option({
  value: "<amount|machine>",
  schema: text,
  about: `16GB, 10.6GiB or a machine: ${machineExamples}`,
  unset: "host RAM",
});

export const margin = option({
  value: "<size>",
  schema: size,
  about: "memory to leave free",
  unset: "1GiB, as llama-server",
});

export const fitCommand = defineCommand({
  name: "fit",
  summary: "What a model needs to run, and whether a machine has it. Reads the header only.",
  options: {
    model: readableModel,
    recipe: option({
      value: "<name|file>",
      schema: text,
      about: "the model as this recipe would quantize it: a preset, mixture, type or file",
    }),
    ctx,
    cacheTypeK,
    cacheTypeV,
    parallel,
    memory,
    margin,
    library: option({
      schema: yesNo,
      about: "compute the sizes rather than ask llama.cpp's library",
      default: true,
    }),
    signal,
    engine,
  },
});

export type FitOptions = OptionsOf<typeof fitCommand>;
