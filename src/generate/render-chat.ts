/** The prompt of a conversation in which control tokens that users write out stay text. */
import { templateMessages } from "./chat-messages.js";
import type { ChatTemplate, ChatToRender } from "./chat-template.js";
import type { LiteralText } from "./literal-text.js";
import type { PromptText } from "./prompt.js";

export interface RenderOptions {
  /** Finds control tokens in what users write. */
  readonly literal: LiteralText;
  /** Text with which the answer already begins. */
  readonly continuation?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Renders a conversation. Throws what the template throws, and a UsageError for messages that it cannot read.
 */
export async function renderChat(
  template: ChatTemplate,
  chat: ChatToRender,
  { literal, continuation = "", signal }: RenderOptions,
): Promise<PromptText> {
  // Arguments of tool calls are JSON in a string, in which a control token can be spelled in other ways.
  const messages = templateMessages(chat.messages);
  const { tools, variables } = chat;
  const { value, mark } = literal.mark({ messages, tools, variables, continuation });
  const text = await template.render({ ...chat, ...value }, signal);
  return { text: text + value.continuation, mark };
}
