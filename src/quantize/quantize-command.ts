/** The contract of `quantize`. */
import { defineCommand, type OptionsOf, type ResolvedOptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { answered, moot } from "../contract/pasted.js";
import {
  encoderThreads,
  onNotice,
  onProgress,
  onWarning,
  ownShard,
  readableModel,
  restart,
  resume,
  signal,
  splitMaxSize,
} from "../contract/shared-options.js";
import {
  choice,
  instance,
  list,
  oneOrMore,
  parsed,
  size,
  text,
  wholeNumber,
  yesNo,
} from "../contract/values.js";
import { engine } from "../engine/engine-options.js";
import { type ImatrixOptions, priorWeight } from "../imatrix/imatrix-command.js";
import { predictionModes } from "../model/prediction-layers.js";
import { efforts } from "../quants/effort.js";
import { parseTypeName } from "../quants/types.js";
import { queueOptions } from "../queue/queue-options.js";

export const imatrix = option({
  value: "<file>",
  schema: text,
  about: "importance matrix, GGUF or .dat",
});

export const effort = option({
  schema: choice([...efforts, "max"]),
  about: "how long to search; max also makes the outputs' errors small, with second moments of the inputs",
  default: "default",
});

export const moments = option({
  value: "<file>",
  schema: text,
  about: "second moments of the inputs (imatrix --moments), for effort max",
});

export const activations = option({
  value: "<file...>",
  schema: oneOrMore,
  about:
    "kept inputs of routed experts (imatrix --activations), for effort max; several files count as those of one text",
});

/** How a calibration text is run, in options of `imatrix`. */
export type CalibrationRun = Pick<
  ImatrixOptions,
  | "ctx"
  | "chunks"
  | "parseSpecial"
  | "dataset"
  | "priorWeight"
  | "threads"
  | "gpuLayers"
  | "gpuMemory"
  | "ignoreMemoryLimit"
>;

export const keepActivations = option({
  schema: yesNo,
  about:
    "with a calibration text: collect what effort max must know of all layers before the first is encoded",
  negated: "with a calibration text: encode each layer when it has been run, and keep nothing of it",
  unset: "keep it, unless the model is run in windows of layers or the disk lacks room",
});

export const allowRequantize = option({
  schema: yesNo,
  about: "allow quantizing tensors that are quantized already",
});

export const padExperts = option({
  schema: yesNo,
  about:
    "make experts wider with zeros, to the next multiple of 256, so that types of less than 4.25 bits fit their rows; the model computes the same",
});

/** What llama.cpp's converter calls leaving them out. */
export const droppingPrediction = ["--no-mtp=drop", "--no-nextn=drop"];

export const mtp = option({
  aliases: droppingPrediction,
  schema: choice(predictionModes),
  about:
    "layers that predict further tokens: embed them in the file, drop them, or write a separate file (mtp-OUTPUT)",
  unset: "embed",
});

export const cache = option({
  value: "<folder>",
  schema: text,
  about:
    "keep encoded tensors there, and take from there what was encoded before; runs and models may share it",
});

export const encodedCacheSize = option({
  value: "<size>",
  schema: size.refine((bytes) => bytes >= 1e6, "must be at least 1M"),
  about: "most that the cache may take; what was used least recently goes first",
  unset: "20G",
});

export const recipe = option({
  value: "<name|file>",
  schema: text,
  about: "a preset, one of llama.cpp's quant mixes (Q4_K_M), a type, or a recipe file",
});

/** Other options of llama-quantize. */
const pasted = {
  maxBufferSize: moot("some rows are read at a time", { value: "<MiB>" }),
  pruneLayers: answered("layers cannot be left out; lopsided prune leaves out experts.", {
    value: "<layers>",
  }),
};

export const quantizeCommand = defineCommand({
  name: "quantize",
  summary: "Encode a model's tensors by a recipe and write a GGUF file that llama.cpp loads.",
  options: {
    model: readableModel,
    output: option({ isArgument: true, required: true, schema: text, about: "GGUF file to write" }),
    // llama-quantize takes it and the number of threads by their places.
    recipe: { ...recipe, isArgument: true, short: "-r" },
    base: option({
      value: "<type>",
      schema: text,
      about: "what the recipe's rules leave open: a quant mix, a type, or COPY",
    }),
    imatrix,
    priorWeight,
    tensorType: option({
      value: "<regex=type>",
      schema: list(text),
      about: "type of the tensors whose name matches (repeatable; the first match wins)",
    }),
    tensorTypeFile: option({
      value: "<file>",
      schema: text,
      about: "file of such items, separated by white space",
    }),
    tokenEmbeddingType: option({
      value: "<type>",
      schema: parsed(parseTypeName),
      about: "type of token_embd.weight",
    }),
    outputTensorType: option({
      value: "<type>",
      schema: parsed(parseTypeName),
      about: "type of output.weight",
    }),
    allowRequantize,
    copyLowBit: option({
      schema: yesNo,
      about: "with allowRequantize: still copy tensors of 4.5 bits and less, like gpt-oss' MXFP4",
    }),
    padExperts,
    mtp,
    pure: option({ schema: yesNo, about: "no exceptions: every tensor gets the base's type" }),
    leaveOutputTensor: option({ schema: yesNo, about: "keep output.weight as it is" }),
    includeWeights: option({
      value: "<text>",
      schema: list(text),
      about: "use importance only of tensors whose name contains it (repeatable)",
    }),
    excludeWeights: option({
      value: "<text>",
      schema: list(text),
      about: "use no importance of tensors whose name contains it (repeatable)",
    }),
    overrideKv: option({
      value: "<key=type:value>",
      schema: list(text),
      about: "add or replace metadata (repeatable)",
    }),
    keepSplit: option({
      schema: yesNo,
      about: "write as many files as the source has, with the same tensors",
    }),
    splitMaxSize,
    ownShard,
    resume,
    restart,
    decode: option({
      schema: yesNo,
      about: "have llama.cpp decode some tokens of it before the file gets its name, and warn if it cannot",
    }),
    engine,
    dryRun: option({ schema: yesNo, about: "decide and measure everything, write nothing" }),
    effort,
    moments,
    cache,
    cacheSize: encodedCacheSize,
    activations,
    calibration: option({
      value: "<text>",
      schema: text,
      about:
        "for effort max, in place of these files: calibrate on this text, choosing what to collect; it lies beside the output until that is written",
    }),
    calibrationTokens: option({
      value: "<n>",
      schema: wholeNumber(1),
      about: "tokens of that text, in whole chunks of 512",
      unset: "all of it",
    }),
    calibrationRun: option({
      schema: instance<CalibrationRun>("options of imatrix"),
      about: "how that text is run, where it is not as imatrix would with --parse-special",
      only: "library",
    }),
    keepActivations,
    imatrixOutput: option({
      value: "<file>",
      schema: text,
      about: "also leave the importance matrix of the calibration text there",
    }),
    threads: { ...encoderThreads, isArgument: true },
    ...queueOptions,
    ...pasted,
    onProgress,
    onWarning,
    onNotice,
    signal,
  },
});

/** How long to search: an encoder's effort, or with second moments. */
export type RequestedEffort = ResolvedQuantizeOptions["effort"];

export type QuantizeOptions = OptionsOf<typeof quantizeCommand>;

export type ResolvedQuantizeOptions = ResolvedOptionsOf<typeof quantizeCommand>;
