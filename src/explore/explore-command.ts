/** The contract of `explore`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { readableModel, signal } from "../contract/shared-options.js";
import { text, wholeNumber } from "../contract/values.js";
import { imatrix } from "../quantize/quantize-command.js";

export const exploreCommand = defineCommand({
  name: "explore",
  summary:
    "A page on which memory is a slider: what fits, what is lost, the recipe for it. Reads the header only.",
  options: {
    model: readableModel,
    output: option({
      short: "-o",
      value: "<folder>",
      schema: text,
      about: "write the page there as index.html, for any web host",
      unset: "a server on this computer shows it",
    }),
    sensitivity: option({
      value: "<file>",
      schema: text,
      about: "what lopsided sensitivity measured",
      unset: "by role and depth",
    }),
    curves: option({
      value: "<file>",
      schema: text,
      about: "errors of every type, measured by lopsided plan --curves",
      unset: "typical ones",
    }),
    imatrix: {
      ...imatrix,
      about: "importance matrix that quantize will be given",
      unset: "the commands compute one",
    },
    port: option({
      value: "<n>",
      schema: wholeNumber(0, 65_535),
      about: "port of the server; 0 for any that is free",
      default: 0,
    }),
    signal,
  },
});

export type ExploreOptions = OptionsOf<typeof exploreCommand>;
