/** The contracts of `make` and `demo`: mostly options of the commands that they run. */
import { budgetOptions, expertOptions } from "../budget/plan-command.js";
import { defineCommand, type OptionsOf, type ResolvedOptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import {
  onProgress,
  onWarning,
  parseSpecial,
  readableModel,
  signal,
  splitMaxSize,
} from "../contract/shared-options.js";
import { callback, oneOrMore, orNone, text, wholeNumber, yesNo } from "../contract/values.js";
import { engineThreads, gpuLayers, gpuMemory } from "../engine/engine-options.js";
import { perplexityCommand } from "../evaluate/perplexity-command.js";
import { imatrixCommand, priorWeight } from "../imatrix/imatrix-command.js";
import {
  cache,
  effort,
  encodedCacheSize,
  keepActivations,
  quantizeCommand,
  recipe,
} from "../quantize/quantize-command.js";
import { queueOptions } from "../queue/queue-options.js";
import { quantizedBy } from "../report/card-command.js";
import { checkCommand } from "../tasks/check-command.js";
import type { StageEvent } from "./stages.js";

export const defaultRecipe = "asym-2bit-experts";

const output = option({
  short: "-o",
  value: "<folder>",
  required: true,
  schema: text,
  about: "folder for the result; it is created",
});

const threads = {
  ...engineThreads,
  about: "threads that compute",
  unset: "the fastest number, measured, to run a model; all cores to encode",
} as const;

const onStage = option({
  schema: callback<(event: StageEvent) => void>(),
  about: "hears what becomes of each stage",
  only: "library",
});

const command = option({ schema: text, about: "the command line, for the card", only: "library" });

export const makeCommand = defineCommand({
  name: "make",
  summary:
    "Everything in one run: calibrate, choose types, quantize, verify, evaluate; the folder can be published. Run it again to resume, or after changing options: only the affected stages rerun.",
  options: {
    model: readableModel,
    output,
    calibration: option({
      value: "<text>",
      schema: text,
      about: "text for the importance matrix, or conversations in a .jsonl file",
      unset: "a mix of kinds that ships with Lopsided",
    }),
    recipe: { ...recipe, unset: `${defaultRecipe}, unless there is a budget` },
    ...budgetOptions,
    prune: {
      ...expertOptions.prune,
      about:
        "with a budget: also weigh dropping experts, keeping so many in each layer, like 96,64; auto tries 7/8 to 1/2 of them",
    },
    padExperts: {
      ...expertOptions.padExperts,
      about:
        "make experts wider with zeros, to the next multiple of 256; with a budget only if that loses less",
    },
    sensitivity: option({
      schema: yesNo,
      about: "with a budget: go by role and depth rather than measure",
      default: true,
    }),
    sensitivityChunks: option({
      value: "<n>",
      schema: wholeNumber(1),
      about:
        "chunks of the calibration text to measure sensitivity on; with effort max four times as many, of other text",
      default: 8,
    }),
    chunks: {
      ...imatrixCommand.options.chunks,
      about: "maximum number of chunks of calibration",
      unset: undefined,
      default: 128,
    },
    calibrationTokens: option({
      value: "<n>",
      schema: wholeNumber(1),
      about: "tokens of calibration, in place of chunks: as many of these as that takes",
    }),
    ctxCalibration: {
      ...imatrixCommand.options.ctx,
      short: undefined,
      aliases: [],
      about: "context size of a chunk of calibration, in tokens",
    },
    evaluate: option({
      value: "<text>",
      schema: orNone(oneOrMore),
      about:
        "text to measure on, other than the one for calibration; repeat it for several, named as in code=a.txt",
      unset: "six kinds that ship with Lopsided, 40 chunks of each",
      negated: "measure nothing",
    }),
    evaluateChunks: {
      ...perplexityCommand.options.chunks,
      about: "maximum number of chunks of each evaluation text",
      unset: undefined,
      default: 200,
    },
    ctxEvaluate: {
      ...perplexityCommand.options.ctx,
      short: undefined,
      aliases: [],
      about: "context size of a chunk of evaluation, in tokens",
    },
    parseSpecial: { ...parseSpecial, about: "parse special tokens (<|im_start|>, ...) in the texts" },
    baseline: option({
      value: "<mix|file|none>",
      schema: text,
      about: "what to compare with: one of llama.cpp's quant mixes, which is built, or a file",
      default: "Q4_K_M",
    }),
    tasks: checkCommand.options.tasks,
    check: option({ schema: yesNo, about: "skip the task eval", default: true }),
    explorer: option({
      schema: yesNo,
      about: "make no explorer.html, the page of all sizes that the model could have",
      default: true,
    }),
    scales: option({
      schema: yesNo,
      about: "with effort max: leave the scales of the routed experts as they were encoded",
      default: true,
    }),
    mtp: quantizeCommand.options.mtp,
    effort: {
      ...effort,
      about:
        "how long to search; max also keeps what enters the experts, and makes the outputs' errors small",
    },
    keepActivations: {
      ...keepActivations,
      about: "with effort max: collect what it must know of all layers before the first is encoded",
      negated: "with effort max: encode each layer when it has been run, and keep nothing of it",
      unset:
        "keep it for other quantizations, unless the model is run in windows of layers or the disk lacks room",
    },
    priorWeight,
    cache,
    cacheSize: encodedCacheSize,
    allowRequantize: {
      ...quantizeCommand.options.allowRequantize,
      about: "allow a source of less than eight bits",
    },
    name: option({
      value: "<name>",
      schema: text,
      about: "first part of the files' names",
      unset: "the source's",
    }),
    quantizedBy,
    splitMaxSize,
    threads,
    gpuLayers,
    gpuMemory,
    ...queueOptions,
    command,
    onStage,
    onProgress,
    onWarning,
    signal,
  },
});

export type MakeOptions = OptionsOf<typeof makeCommand>;

export type ResolvedMakeOptions = ResolvedOptionsOf<typeof makeCommand>;

export const demoCommand = defineCommand({
  name: "demo",
  summary: "The whole of make on the tiny model that ships with the package: two minutes on two cores.",
  options: {
    output: { ...output, required: false, default: "lopsided-demo" },
    threads,
    command,
    onStage,
    onProgress,
    onWarning,
    signal,
  },
});

export type DemoOptions = OptionsOf<typeof demoCommand>;
