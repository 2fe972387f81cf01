/** The contract of `perplexity`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { answered, moot } from "../contract/pasted.js";
import { onProgress, onWarning, parseSpecial, readableModel, signal } from "../contract/shared-options.js";
import { oneOrMore, text, wholeNumber, yesNo } from "../contract/values.js";
import { engine, runOptions } from "../engine/engine-options.js";
import { pastedRunOptions } from "../engine/pasted-options.js";
import { queueOptions } from "../queue/queue-options.js";

/** What texts to measure on may be. */
export const evaluatedText = "text to predict; several are reported one by one, named as in code=a.txt";

/** By its importance matrix it is known what a model was calibrated on. */
export const imatrix = option({
  value: "<file>",
  schema: text,
  about: "importance matrix that the model was made with: texts that it was calibrated on are warned of",
  unset: "the one that the model names, if it lies beside it",
});

/** Costs an eighth of the reference's time. */
export const floor = option({
  schema: yesNo,
  about: "leave out the floor: how far the reference is from itself with attention in F32",
  default: true,
});

const scores = "lopsided check gives tasks with answers that can be checked.";
const strides = "chunks are scored as llama-perplexity does without it; leave it out.";

/** Other options of llama-perplexity. */
const pasted = {
  klDivergence: moot("a base or a reference is there to be compared with"),
  hellaswag: answered(scores),
  hellaswagTasks: answered(scores, { value: "<n>" }),
  winogrande: answered(scores),
  winograndeTasks: answered(scores, { value: "<n>" }),
  multipleChoice: answered(scores),
  multipleChoiceTasks: answered(scores, { value: "<n>" }),
  pplStride: answered(strides, { value: "<n>" }),
  pplOutputType: answered("`json` prints all figures; leave it out.", { value: "<0|1>" }),
};

export const perplexityCommand = defineCommand({
  name: "perplexity",
  summary: "How well a model predicts a text, and how far its predictions are from a reference's.",
  options: {
    model: { ...readableModel, short: "-m", value: "<model>" },
    text: option({
      isArgument: true,
      short: "-f",
      aliases: ["--file"],
      required: true,
      value: "<text...>",
      schema: oneOrMore,
      about: `${evaluatedText} (not read with klDivergenceBase, which has its own)`,
    }),
    ctx: option({
      short: "-c",
      aliases: ["--ctx-size"],
      value: "<n>",
      schema: wholeNumber(4),
      about: "context size of a chunk, in tokens",
      default: 512,
    }),
    chunks: option({
      value: "<n>",
      schema: wholeNumber(1),
      about: "maximum number of chunks of each text",
      unset: "the whole text",
    }),
    parseSpecial,
    imatrix,
    reference: option({
      value: "<model>",
      schema: text,
      about: "compare with this model, of any of these kinds",
    }),
    floor,
    klDivergenceBase: option({
      value: "<file>",
      schema: text,
      about: "compare with log-probabilities that llama-perplexity saved, of which it keeps 16 nats",
    }),
    saveAllLogits: option({
      value: "<file>",
      schema: text,
      about: "save the log-probabilities in llama-perplexity's format",
    }),
    checkpoint: option({
      value: "<file>",
      schema: text,
      about: "keep unfinished work in this file, from which the same command goes on; removed at the end",
    }),
    ...runOptions,
    ...pastedRunOptions,
    ...pasted,
    ...queueOptions,
    onProgress,
    onWarning,
    signal,
    engine,
  },
});

export type PerplexityOptions = OptionsOf<typeof perplexityCommand>;
