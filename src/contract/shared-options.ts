/** Options that many commands have, each declared once. */
import { option } from "./option.js";
import {
  abortSignal,
  list,
  progressListener,
  size,
  text,
  warningListener,
  wholeNumber,
  yesNo,
} from "./values.js";

/** A model that is read, not run. */
export const readableModel = option({
  isArgument: true,
  required: true,
  schema: text,
  about: "GGUF file, first file of a split set, Hugging Face folder, https://, hf:// or s3:// address",
});

/** A model that llama.cpp runs. */
export const runnableModel = option({
  isArgument: true,
  required: true,
  schema: text,
  about: "GGUF file, or first file of a split set",
});

export const encoderThreads = option({
  short: "-t",
  value: "<n>",
  // Each takes some 10 MB and reads all modules of the encoders.
  schema: wholeNumber(0, 1024),
  about: "encoder threads; 0: none beside the main one",
  unset: "all cores",
});

export const resume = option({
  schema: yesNo,
  about: "continue the unfinished run of this output, if there is one",
});

export const restart = option({
  schema: yesNo,
  about: "throw away the unfinished run of this output, if there is one",
});

export const splitMaxSize = option({
  value: "<size>",
  // Who writes 4 means 4G.
  schema: size.refine((bytes) => bytes >= 1e6, "must be at least 1M"),
  about:
    "begin another file (OUT-00001-of-00003.gguf, ...) before one's tensors exceed this, for example 4G or 500M",
});

export const ownShard = option({
  value: "<role>",
  schema: list(text),
  about:
    "give each tensor of this role a file of its own, after the others, for example embedding.table (repeatable)",
});

export const parseSpecial = option({
  schema: yesNo,
  about: "parse special tokens (<|im_start|>, ...) in the text",
});

export const json = option({ schema: yesNo, about: "print one JSON object", only: "terminal" });

export const onProgress = option({
  schema: progressListener,
  about: "hears how far the work is",
  only: "library",
});

export const onWarning = option({
  schema: warningListener,
  about: "hears what the user should know but need not act on",
  only: "library",
});

export const onNotice = option({
  schema: warningListener,
  about: "hears what was decided and what it costs, before work begins",
  only: "library",
});

export const signal = option({ schema: abortSignal, about: "stops the work", only: "library" });
