/** What is asked of a model's vocabulary, in a process that has loaded nothing else. */
import { defineJob, type JobHost } from "../engine/job.js";
import { readsModel } from "../engine/job-files.js";
import { type PromptText, textTokens } from "./prompt.js";

export interface VocabularyFacts {
  /** Texts of the control tokens, such as `<|im_end|>`. */
  readonly controlTexts: readonly string[];
  /** Bytes of the longest token, at most. */
  readonly longestTokenBytes: number;
}

const vocabularyOf = (path: string, host: JobHost) => host.model({ path, vocabularyOnly: true });

/** What is known of the vocabulary. */
export const describeVocabulary = defineJob(
  import.meta.url,
  "describeVocabulary",
  readsModel,
  ({ path }: { path: string }, host: JobHost): VocabularyFacts => {
    const model = vocabularyOf(path, host);
    return { controlTexts: model.controlTexts(), longestTokenBytes: model.longestTokenBytes() };
  },
);

/** The tokens of a prompt. */
export const tokenizePrompt = defineJob(
  import.meta.url,
  "tokenizePrompt",
  readsModel,
  ({ path, prompt }: { path: string; prompt: PromptText }, host: JobHost): readonly number[] =>
    textTokens(vocabularyOf(path, host), prompt),
);
