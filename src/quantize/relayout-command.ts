/** The contract of `relayout`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { onProgress, ownShard, signal, splitMaxSize } from "../contract/shared-options.js";
import { list, text, yesNo } from "../contract/values.js";

export const relayoutCommand = defineCommand({
  name: "relayout",
  summary:
    "Rename, drop, split and merge a model's tensors and change its metadata, without touching the weights.",
  options: {
    model: option({
      isArgument: true,
      required: true,
      schema: text,
      about: "GGUF file, first file of a split set, https://, hf:// or s3:// address of one",
    }),
    output: option({
      isArgument: true,
      required: true,
      schema: text,
      about: "GGUF file to write; a set becomes one file unless it is split again",
    }),
    fuseGateUp: option({
      aliases: ["--fuse-gate-up-exps"],
      schema: yesNo,
      about: "gate and up of all routed experts of a layer as one tensor, where llama.cpp can read it",
    }),
    unfuse: option({
      schema: yesNo,
      about: "gate and up of all routed experts of a layer as two tensors, where they are one",
    }),
    rename: option({
      value: "<pattern=name>",
      schema: list(text),
      about:
        "new names of the tensors in whose names a regular expression is found; $1 is its first group (repeatable)",
    }),
    drop: option({
      value: "<pattern>",
      schema: list(text),
      about: "leave out the tensors in whose names a regular expression is found (repeatable)",
    }),
    overrideKv: option({
      value: "<key=type:value>",
      schema: list(text),
      about: "add or replace metadata (repeatable)",
    }),
    renameKv: option({
      value: "<key=name>",
      schema: list(text),
      about: "give metadata another key, in its place (repeatable)",
    }),
    dropKv: option({ value: "<key>", schema: list(text), about: "leave out metadata (repeatable)" }),
    splitMaxSize,
    ownShard,
    onProgress,
    signal,
  },
});

export type RelayoutOptions = OptionsOf<typeof relayoutCommand>;
