/** `chat`: a model that is loaded to converse. */
import { openModel } from "../model/open.js";
import { type ChatOptions, chatCommand } from "./chat-command.js";
import { ChatTemplate, chatTemplateOf } from "./chat-template.js";
import { Conversation } from "./conversation.js";
import { Generator } from "./generator.js";
import { generatorFor, samplingFor } from "./generator-options.js";

/** A loaded model and what was said to it. */
export interface Chat {
  readonly model: string;
  readonly conversation: Conversation;
  /** Frees the model. */
  close(): Promise<void>;
}

/**
 * Loads a model and begins a conversation; `close` ends it. Throws what opening and loading throw, and a UsageError if
 * the model has no chat template.
 */
export async function chat(given: ChatOptions): Promise<Chat> {
  const options = chatCommand.read(given);
  const { model, onWarning, signal } = options;
  const template = await openTemplate(model);
  const generator = new Generator({
    ...generatorFor(options, 1),
    onCrash: (error) => onWarning?.(error.message),
  });
  const close = async () => {
    template.close();
    await generator.close();
  };
  const stopLoading = () => void close();
  signal?.addEventListener("abort", stopLoading, { once: true });
  try {
    await generator.ready();
  } catch (error) {
    await close();
    throw error;
  }
  const conversation = new Conversation({
    generator,
    template,
    system: options.systemPrompt,
    sampling: samplingFor(options),
    maxTokens: options.predict,
  });
  return { model, conversation, close };
}

async function openTemplate(path: string): Promise<ChatTemplate> {
  const model = await openModel(path);
  try {
    return new ChatTemplate(chatTemplateOf(model.metadata, model.name));
  } finally {
    await model.close();
  }
}
