/** The contract of `imatrix`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { answered, mootUnset } from "../contract/pasted.js";
import { onProgress, onWarning, parseSpecial, readableModel, signal } from "../contract/shared-options.js";
import { choice, list, number, text, wholeNumber, yesNo } from "../contract/values.js";
import {
  engine,
  engineThreads,
  gpuLayers,
  gpuMemory,
  ignoreMemoryLimit,
  layersPerWindow,
  maxMemory,
} from "../engine/engine-options.js";
import { pastedRunOptions } from "../engine/pasted-options.js";
import { inputKinds } from "../moments/inputs.js";
import { queueOptions } from "../queue/queue-options.js";

/** What is said of rarely routed experts; `quantize`, `plan`, `sensitivity` and `make` have it too. */
export const priorWeight = option({
  value: "<tokens>",
  schema: number(),
  about: "shrinkage prior for rarely routed experts; 0 matches llama-quantize",
  unset: "what the importance matrix says, or 1",
});

/** Other options of llama-imatrix. */
const pasted = {
  ppl: mootUnset("perplexity is not computed"),
  saveFrequency: answered("unfinished work is saved by `outputFrequency`, the result once; leave it out.", {
    value: "<n>",
  }),
  chunk: answered("the text is read from its beginning; cut off what is not wanted.", {
    value: "<n>",
    aliases: ["--from-chunk"],
  }),
  showStatistics: answered("lopsided make's report shows what an importance matrix covers; leave it out."),
};

export const imatrixCommand = defineCommand({
  name: "imatrix",
  summary: "Calibration: run a model over a text and write its importance matrix, per expert.",
  options: {
    model: { ...readableModel, short: "-m", value: "<model>" },
    text: option({
      isArgument: true,
      short: "-f",
      aliases: ["--file"],
      value: "<file>",
      required: true,
      schema: text,
      about: "calibration text, or conversations in a .jsonl file",
    }),
    output: option({
      short: "-o",
      aliases: ["--output-file"],
      value: "<file>",
      required: true,
      schema: text,
      about: "importance matrix to write",
    }),
    ctx: option({
      short: "-c",
      aliases: ["--ctx-size"],
      value: "<n>",
      schema: wholeNumber(16),
      about: "context size of a chunk, in tokens",
      default: 512,
    }),
    chunks: option({
      value: "<n>",
      schema: wholeNumber(1),
      about: "maximum number of chunks",
      unset: "the whole text",
    }),
    format: option({
      aliases: ["--output-format"],
      schema: choice(["gguf", "dat"]),
      about: "format of the file",
      unset: "dat for an output of that name, otherwise gguf",
    }),
    processOutput: option({ schema: yesNo, about: "also collect statistics of the output matrix" }),
    mtp: option({
      schema: yesNo,
      about: "leave out the layers that predict further tokens (MTP), which are run too where llama.cpp can",
      default: true,
    }),
    expertOutputs: option({
      schema: yesNo,
      about: "also collect how much each routed expert adds to its layer, for prune",
    }),
    parseSpecial,
    priorWeight: option({
      value: "<tokens>",
      schema: number(),
      about:
        "shrinkage prior for rarely routed experts, noted in a GGUF file and worked into a .dat file; 0 matches llama.cpp",
      unset: "1, applied by quantize",
    }),
    merge: option({
      aliases: ["--in-file"],
      value: "<file...>",
      schema: list(text),
      about: "add the statistics of these files",
    }),
    moments: option({
      value: "<file>",
      schema: text,
      about: "also collect second-moment matrices of the inputs, for quantize --effort max",
    }),
    momentsOf: option({
      value: "<kinds...>",
      schema: list(choice(inputKinds)),
      about: `whose inputs: ${inputKinds.join(", ")}`,
      unset: "routed, or all but the output of a model without; with `activations` all but these two",
    }),
    momentsPerExpert: option({
      schema: yesNo,
      about: "one matrix per expert for routed gate and up too, not one per layer",
    }),
    activations: option({
      value: "<file>",
      schema: text,
      about:
        "also keep the inputs of routed experts, one vector per token and layer, for quantize --effort max",
    }),
    activationBits: option({
      schema: choice(["8", "4"]),
      about: "bits of a kept value; 4 halve the file",
      default: "8",
    }),
    maxMemory,
    layersPerWindow,
    outputFrequency: option({
      aliases: ["-ofreq"],
      value: "<chunks>",
      schema: wholeNumber(1),
      about: "save unfinished work every so many chunks, when a group of them is complete",
      default: 10,
    }),
    threads: engineThreads,
    gpuLayers,
    gpuMemory,
    dataset: option({
      schema: text,
      about: "what the file calls the text",
      unset: "its name",
      only: "library",
    }),
    ...queueOptions,
    ignoreMemoryLimit,
    ...pastedRunOptions,
    ...pasted,
    onProgress,
    onWarning,
    signal,
    engine,
  },
});

export type ImatrixOptions = OptionsOf<typeof imatrixCommand>;
