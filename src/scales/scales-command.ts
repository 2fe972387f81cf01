/** The contract of `scales`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import {
  onNotice,
  onProgress,
  onWarning,
  parseSpecial,
  readableModel,
  runnableModel,
  signal,
  splitMaxSize,
} from "../contract/shared-options.js";
import { text } from "../contract/values.js";
import { engine, engineThreads, gpuLayers, gpuMemory, ignoreMemoryLimit } from "../engine/engine-options.js";
import { imatrixCommand } from "../imatrix/imatrix-command.js";

export const scalesCommand = defineCommand({
  name: "scales",
  summary:
    "Fit the scales of a quantized model's experts to its source: same codes, same size, less divergence.",
  options: {
    model: runnableModel,
    output: option({
      isArgument: true,
      required: true,
      schema: text,
      about: "GGUF file to write; a set becomes one file unless it is split again",
    }),
    source: option({
      value: "<model>",
      required: true,
      schema: text,
      about: `what it was made from: ${readableModel.about}`,
    }),
    calibration: option({
      value: "<text>",
      required: true,
      schema: text,
      about: "text to fit on, or conversations in a .jsonl file",
    }),
    ctx: imatrixCommand.options.ctx,
    chunks: imatrixCommand.options.chunks,
    parseSpecial,
    splitMaxSize,
    threads: engineThreads,
    gpuLayers,
    gpuMemory,
    ignoreMemoryLimit,
    dataset: imatrixCommand.options.dataset,
    onNotice,
    onProgress,
    onWarning,
    signal,
    engine,
  },
});

export type ScalesOptions = OptionsOf<typeof scalesCommand>;
