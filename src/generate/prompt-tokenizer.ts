/**
 * Tokenizes prompts in processes of their own, which have loaded the vocabulary and nothing else: some texts take
 * llama.cpp long, or even end its process, and neither may happen to those whose answers are being written. What
 * takes too long, or is no longer wanted, is stopped. Long texts have a process to themselves, so that short ones
 * do not wait for them.
 */
import { Engine } from "../engine/engine.js";
import { CancelledError, UsageError } from "../errors.js";
import { isTokens, type Prompt } from "./prompt.js";
import { describeVocabulary, tokenizePrompt, type VocabularyFacts } from "./tokenize-job.js";

/** Characters of a short text at most: some ten thousand tokens, which take some ten milliseconds. */
const shortLength = 65_536;

/** Time for one prompt. A megabyte takes a second or two. */
const timeoutMs = 30_000;

export class PromptTokenizer {
  readonly #path: string;
  readonly #short = new Engine();
  readonly #long = new Engine();
  readonly #closed = new AbortController();
  #facts: Promise<VocabularyFacts> | undefined;

  /** @param path the model's file */
  constructor(path: string) {
    this.#path = path;
  }

  /** What is known of the vocabulary; the first call loads it. */
  facts(): Promise<VocabularyFacts> {
    this.#facts ??= this.#short
      .run(describeVocabulary, { path: this.#path }, { signal: this.#closed.signal })
      .catch((error: unknown) => {
        this.#facts = undefined; // the next call tries again
        throw error;
      });
    return this.#facts;
  }

  /**
   * The tokens of a prompt.
   * Throws a UsageError if it is empty, takes too long, or cannot fit in a context of so many tokens, which is seen
   * before it is tokenized when its characters are too many; an EnvironmentError if its process dies; a
   * CancelledError.
   */
  async tokens(prompt: Prompt, contextLength: number, signal?: AbortSignal): Promise<readonly number[]> {
    if (isTokens(prompt)) {
      return prompt;
    }
    const asText = typeof prompt === "string" ? { text: prompt } : prompt;
    const { length } = asText.text;
    const most = contextLength * (await this.facts()).longestTokenBytes;
    if (length > most) {
      throw new UsageError(
        `the prompt has ${length} characters, but the ${contextLength} tokens of the context can have ${most} at most; shorten it or use a longer context.`,
        { reason: "context-length", contextLength },
      );
    }
    const timeout = AbortSignal.timeout(timeoutMs);
    const signals = [timeout, this.#closed.signal, ...(signal ? [signal] : [])];
    const engine = length > shortLength ? this.#long : this.#short;
    try {
      return await engine.run(
        tokenizePrompt,
        { path: this.#path, prompt: asText },
        { signal: AbortSignal.any(signals) },
      );
    } catch (error) {
      if (error instanceof CancelledError && timeout.aborted) {
        throw new UsageError(
          `the prompt could not be tokenized within ${timeoutMs / 1000} s; shorten it, or cut what repeats in it.`,
          { reason: "slow-prompt" },
          { cause: error },
        );
      }
      throw error;
    }
  }

  /** Whether short prompts are tokenized at once. */
  get isResponsive(): boolean {
    return this.#short.isResponsive;
  }

  /** Ends the processes; whatever waits ends with a CancelledError. */
  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.all([this.#short.close(), this.#long.close()]);
  }
}
