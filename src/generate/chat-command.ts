/** The contract of `chat`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { text, wholeNumber } from "../contract/values.js";
import { generatorOptions, samplingOptions } from "./generator-options.js";

export const chatCommand = defineCommand({
  name: "chat",
  summary: "A conversation with a model in the terminal; /help says how.",
  options: {
    ...generatorOptions,
    ctxSize: {
      ...generatorOptions.ctxSize,
      about: "tokens of context; 0: the model's, up to 4096",
    },
    systemPrompt: option({
      aliases: ["-sys"],
      value: "<text>",
      schema: text,
      about: "said to the model before everything else, also -sys",
    }),
    predict: option({
      short: "-n",
      value: "<n>",
      schema: wholeNumber(1),
      about: "maximum tokens to generate",
      unset: "as many as the context has",
    }),
    ...samplingOptions,
  },
});

export type ChatOptions = OptionsOf<typeof chatCommand>;
