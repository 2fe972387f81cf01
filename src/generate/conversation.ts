/** A conversation with a model: what was said goes back into each prompt. */
import { CancelledError } from "../errors.js";
import type { ChatMessage } from "./chat-messages.js";
import type { ChatTemplate } from "./chat-template.js";
import type { Generator } from "./generator.js";
import { LiteralText } from "./literal-text.js";
import { renderChat } from "./render-chat.js";
import type { Completion } from "./request.js";
import type { SamplingOptions } from "./sampler.js";

export interface ConversationOptions {
  readonly generator: Generator;
  readonly template: ChatTemplate;
  /** Said to the model before everything else. */
  readonly system?: string | undefined;
  readonly sampling?: Partial<SamplingOptions> | undefined;
  /** Tokens of an answer at most. */
  readonly maxTokens?: number | undefined;
}

export class Conversation {
  readonly #options: ConversationOptions;
  #messages: ChatMessage[] = [];

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.reset();
  }

  /** All that was said. */
  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  /** Forgets what was said. */
  reset(): void {
    const { system } = this.#options;
    this.#messages = system === undefined ? [] : [{ role: "system", content: system }];
  }

  /**
   * Says something and hears the answer. An answer that `signal` stops stays in the conversation as far as it is;
   * what cannot be answered is not part of it.
   * Throws a UsageError if the conversation has become too long, and what the template and the generator throw.
   * @returns the whole answer, or undefined if it was stopped
   */
  async say(
    content: string,
    { signal, onText }: { signal: AbortSignal; onText: (text: string) => void },
  ): Promise<Completion | undefined> {
    const { generator, template, sampling, maxTokens } = this.#options;
    const messages: ChatMessage[] = [...this.#messages, { role: "user", content }];
    let answer = "";
    let completion: Completion | undefined;
    try {
      const { controlTexts } = await generator.vocabulary();
      const literal = new LiteralText(controlTexts);
      const prompt = await renderChat(template, { messages }, { literal, signal });
      completion = await generator.generate(
        { prompt, sampling, maxTokens },
        {
          signal,
          onPiece: ({ text }) => {
            answer += text;
            onText(text);
          },
        },
      );
    } catch (error) {
      if (!(error instanceof CancelledError && signal.aborted)) {
        throw error;
      }
    }
    this.#messages = [...messages, { role: "assistant", content: answer }];
    return completion;
  }
}
