/** The contract of `verify`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { encoderThreads, onProgress, onWarning, readableModel, signal } from "../contract/shared-options.js";
import { text, yesNo } from "../contract/values.js";
import { engine } from "../engine/engine-options.js";

export const verifyCommand = defineCommand({
  name: "verify",
  summary: "Check a model: header, every block of every tensor, and with a source a sample of rows.",
  options: {
    model: readableModel,
    source: option({ value: "<model>", schema: text, about: "what it was made from" }),
    decode: option({
      schema: yesNo,
      about: "have llama.cpp decode some tokens of it, and warn if it cannot",
    }),
    engine,
    threads: encoderThreads,
    onProgress,
    onWarning,
    signal,
  },
});

export type VerifyOptions = OptionsOf<typeof verifyCommand>;
