/** The contract of `convert`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
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
    output: option({ isArgument: true, required: true, schema: text, about: "GGUF file to write" }),
    type: option({
      value: "<type>",
      required: true,
      schema: parsed((name): ConversionTarget | "auto" =>
        name === "auto" ? name : parseConversionTarget(name),
      ),
      about: "type of the matrices: bf16, f16, f32, q8_0, or auto for what most are stored as",
    }),
    mtp: option({
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
    onProgress,
    onWarning,
    signal,
  },
});

export type ConvertOptions = OptionsOf<typeof convertCommand>;
