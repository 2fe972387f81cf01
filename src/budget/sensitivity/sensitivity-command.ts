/** The contract of `sensitivity`. */
import { defineCommand, type OptionsOf } from "../../contract/command.js";
import { option } from "../../contract/option.js";
import { onProgress, onWarning, parseSpecial, readableModel, signal } from "../../contract/shared-options.js";
import { text, wholeNumber } from "../../contract/values.js";
import { engine, maxMemory, runOptions } from "../../engine/engine-options.js";
import { priorWeight } from "../../imatrix/imatrix-command.js";
import { imatrix } from "../../quantize/quantize-command.js";

export const sensitivityCommand = defineCommand({
  name: "sensitivity",
  summary: "Measure how much an error in each tensor costs the model: input of plan.",
  options: {
    model: {
      ...readableModel,
      about: `${readableModel.about}; the least quantized there is`,
    },
    text: option({
      isArgument: true,
      required: true,
      schema: text,
      about: "text to measure on, other than the one for evaluation; or conversations in a .jsonl file",
    }),
    output: option({
      short: "-o",
      value: "<file>",
      required: true,
      schema: text,
      about: "JSON file to write",
    }),
    quantized: option({
      value: "<file>",
      schema: text,
      about:
        "measure what the errors of this quantization cost, each of its tensors in turn made the model's own, in place of noise; on a text that it was not calibrated on",
    }),
    imatrix: { ...imatrix, about: "importance matrix that plan will use, GGUF or .dat" },
    priorWeight,
    ctx: option({
      short: "-c",
      value: "<n>",
      schema: wholeNumber(4),
      about: "context size of a chunk, in tokens",
      default: 512,
    }),
    chunks: option({
      value: "<n>",
      schema: wholeNumber(1),
      about: "number of chunks to measure on",
      default: 16,
    }),
    rounds: option({
      value: "<n>",
      schema: wholeNumber(1),
      about: "times to measure on them, with other noise each time, if the model fits in memory",
      default: 1,
    }),
    parseSpecial,
    ...runOptions,
    maxMemory: {
      ...maxMemory,
      about: "memory to use, 8GB for example; a larger model is measured in one sweep over its layers",
    },
    onProgress,
    onWarning,
    signal,
    engine,
  },
});

export type SensitivityOptions = OptionsOf<typeof sensitivityCommand>;
