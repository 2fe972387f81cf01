/** The contract of `publish`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { onProgress, signal } from "../contract/shared-options.js";
import { anyText, instance, text, yesNo } from "../contract/values.js";
import type { RetryPolicy } from "../remote/retry.js";
import { madeFolder } from "../report/card-command.js";

export const publishCommand = defineCommand({
  name: "publish",
  summary:
    "Upload what make left in a folder to the Hugging Face Hub, in one commit (HF_TOKEN, HF_ENDPOINT).",
  options: {
    folder: madeFolder,
    repository: option({
      isArgument: true,
      required: true,
      schema: text,
      about: "hf://owner/repository; created if there is none",
    }),
    private: option({ schema: yesNo, about: "create the repository as a private one" }),
    revision: option({
      value: "<branch>",
      schema: text,
      about: "branch to upload to, created if there is none",
      unset: "main",
    }),
    dryRun: option({ schema: yesNo, about: "only say what would be uploaded" }),
    endpoint: option({ schema: text, about: "the Hub's address", unset: "HF_ENDPOINT", only: "library" }),
    token: option({
      schema: anyText,
      about: "token that may write",
      unset: "HF_TOKEN",
      only: "library",
    }),
    retry: option({
      schema: instance<RetryPolicy>("a retry policy"),
      about: "how often and when requests that fail are tried again",
      only: "library",
    }),
    onProgress,
    signal,
  },
});

export type PublishOptions = OptionsOf<typeof publishCommand>;
