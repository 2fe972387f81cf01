/** The contract of `convert`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { answered, moot, mootUnset } from "../contract/pasted.js";
import {
  encoderThreads,
  onProgress,
  onWarning,
  ownShard,
  restart,
  resume,
  signal,
  splitMaxSize,
} from "../contract/shared-options.js";
import { choice, parsed, text, yesNo } from "../contract/values.js";
import { type ConversionTarget, parseConversionTarget } from "../model/huggingface/conversion.js";
import { predictionModes } from "../model/prediction-layers.js";
import { droppingPrediction } from "./quantize-command.js";

const missing = "is not supported; use llama.cpp's convert_hf_to_gguf.py for it.";

/** Other options of llama.cpp's convert_hf_to_gguf.py. */
const pasted = {
  useTempFile: moot("rows are converted as they are read"),
  lazy: mootUnset("rows are converted as they are read"),
  verbose: moot("what the user should know is said"),
  remote: answered("name the repository as hf://owner/repository in the place of the folder, without it."),
  splitMaxTensors: answered("files are split by their size; use `splitMaxSize`.", { value: "<n>" }),
  dryRun: answered("lopsided inspect shows a folder's tensors, and nothing is written by it."),
  modelName: answered(
    "names are the model card's; lopsided relayout --override-kv general.name=str:NAME changes one.",
    { value: "<name>" },
  ),
  metadata: answered(
    "metadata is config.json's and the model card's; change it with lopsided relayout afterwards.",
    {
      value: "<file>",
    },
  ),
  printSupportedModels: answered(
    "lopsided convert names the families if it is given one that it does not know.",
  ),
  vocabOnly: answered(`a vocabulary alone ${missing}`),
  bigendian: answered(`a file for big-endian machines ${missing}`),
  dspark: answered(`a file of DSpark's layers ${missing}`),
  mistralFormat: answered(`Mistral's own format ${missing}`),
  disableMistralCommunityChatTemplate: answered(`Mistral's own format ${missing}`),
  sentenceTransformersDenseModules: answered(`an embedding model ${missing}`),
  fuseQkv: answered(`fusing queries, keys and values ${missing}`),
  targetModelDir: answered(`a draft for another model ${missing}`, { value: "<folder>" }),
};

export const convertCommand = defineCommand({
  name: "convert",
  summary: "Convert a Hugging Face folder (config.json, tokenizer, safetensors) to GGUF.",
  options: {
    folder: option({
      isArgument: true,
      required: true,
      schema: text,
      about: "Hugging Face folder, hf://owner/repository[@revision], or s3://bucket/path",
    }),
    output: option({
      isArgument: true,
      short: "-o",
      aliases: ["--outfile"],
      value: "<file>",
      required: true,
      schema: text,
      about: "GGUF file to write",
    }),
    type: option({
      aliases: ["--outtype"],
      value: "<type>",
      required: true,
      schema: parsed((name): ConversionTarget | "auto" =>
        name === "auto" ? name : parseConversionTarget(name),
      ),
      about: "type of the matrices: bf16, f16, f32, q8_0, or auto for what most are stored as",
    }),
    mtp: option({
      aliases: droppingPrediction,
      schema: choice([...predictionModes, "only"]),
      about:
        "layers that predict further tokens: embed them in the file, drop them, write a separate file (mtp-OUTPUT), or only that one as OUTPUT",
      unset: "as llama.cpp's converter does with the family",
    }),
    mmproj: option({
      schema: yesNo,
      about: "convert the vision tower and its projector, which llama.cpp reads from a file of their own",
    }),
    fuseGateUpExps: option({
      schema: yesNo,
      about: "gate and up of all experts as one tensor, where llama.cpp can read it",
    }),
    fp8AsQ8: option({ schema: yesNo, about: "what is stored as FP8 becomes Q8_0" }),
    splitMaxSize,
    ownShard,
    resume,
    restart,
    threads: encoderThreads,
    ...pasted,
    onProgress,
    onWarning,
    signal,
  },
});

export type ConvertOptions = OptionsOf<typeof convertCommand>;
