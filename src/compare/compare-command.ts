/** The contract of `compare`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { onProgress, onWarning, parseSpecial, signal } from "../contract/shared-options.js";
import { oneOrMore, text } from "../contract/values.js";
import { engine, runOptions } from "../engine/engine-options.js";
import { perplexityCommand } from "../evaluate/perplexity-command.js";

export const compareCommand = defineCommand({
  name: "compare",
  summary:
    "Several quantizations beside their source, in one run: size, perplexity, KL divergence by text, paired differences; as a table, Markdown, a chart.",
  options: {
    source: option({
      isArgument: true,
      required: true,
      schema: text,
      about:
        "what the files are compared with: a GGUF file, Hugging Face folder, https://, hf:// or s3:// address",
    }),
    models: option({
      isArgument: true,
      required: true,
      value: "<model...>",
      schema: oneOrMore,
      about: "quantizations of it; differences are from the first",
    }),
    texts: option({
      short: "-f",
      value: "<text...>",
      required: true,
      schema: oneOrMore,
      about: "texts to predict, named as in code=a.txt; conversations in a .jsonl file",
    }),
    ctx: perplexityCommand.options.ctx,
    chunks: perplexityCommand.options.chunks,
    parseSpecial,
    floor: perplexityCommand.options.floor,
    imatrix: perplexityCommand.options.imatrix,
    markdown: option({ value: "<file>", schema: text, about: "write the table as Markdown, to be posted" }),
    chart: option({ value: "<file>", schema: text, about: "write a chart of size and divergence, as SVG" }),
    ...runOptions,
    onProgress,
    onWarning,
    signal,
    engine,
  },
});

export type CompareOptions = OptionsOf<typeof compareCommand>;
