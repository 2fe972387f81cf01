/** The contract of `inspect`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { readableModel, signal } from "../contract/shared-options.js";
import { yesNo } from "../contract/values.js";

export const inspectCommand = defineCommand({
  name: "inspect",
  summary: "What is in a model: architecture, roles of its tensors, types, sizes.",
  options: {
    model: readableModel,
    tensors: option({ schema: yesNo, about: "list every tensor", only: "terminal" }),
    signal,
  },
});

export type InspectOptions = OptionsOf<typeof inspectCommand>;
