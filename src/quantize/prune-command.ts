/** The contract of `prune`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import {
  encoderThreads,
  onProgress,
  onWarning,
  readableModel,
  restart,
  resume,
  signal,
  splitMaxSize,
} from "../contract/shared-options.js";
import { text, wholeNumber, yesNo } from "../contract/values.js";

export const pruneCommand = defineCommand({
  name: "prune",
  summary: "Leave out the experts that add least, as many in each layer; the weights of the others stay.",
  options: {
    model: readableModel,
    output: option({ isArgument: true, required: true, schema: text, about: "GGUF file to write" }),
    experts: option({
      value: "<n>",
      required: true,
      schema: wholeNumber(1),
      about: "experts that each layer keeps",
    }),
    imatrix: option({
      value: "<file>",
      required: true,
      schema: text,
      about: "importance matrix that says how much each expert adds (imatrix --expert-outputs)",
    }),
    imatrixOutput: option({
      value: "<file>",
      schema: text,
      about: "also write the importance matrix of the pruned model, for quantize",
    }),
    dryRun: option({ schema: yesNo, about: "choose the experts, write nothing" }),
    splitMaxSize,
    resume,
    restart,
    threads: encoderThreads,
    onProgress,
    onWarning,
    signal,
  },
});

export type PruneOptions = OptionsOf<typeof pruneCommand>;
