/** The contract of `verify`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { encoderThreads, onProgress, onWarning, readableModel, signal } from "../contract/shared-options.js";
import { text } from "../contract/values.js";

export const verifyCommand = defineCommand({
  name: "verify",
  summary: "Check a model: header, every block of every tensor, and with a source a sample of rows.",
  options: {
    model: readableModel,
    source: option({ value: "<model>", schema: text, about: "what it was made from" }),
    threads: encoderThreads,
    onProgress,
    onWarning,
    signal,
  },
});

export type VerifyOptions = OptionsOf<typeof verifyCommand>;
