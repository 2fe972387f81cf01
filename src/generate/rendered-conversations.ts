/** Conversations in a file, a JSON object in each line with `messages` and perhaps `tools`, as a model's template writes them. */
import { z } from "zod";
import { readWholeText } from "../bytes/text-file.js";
import { parseJsonAs } from "../bytes/typed-json.js";
import { MalformedInputError, UsageError } from "../errors.js";
import type { Metadata } from "../gguf/metadata.js";
import type { RenderedConversation } from "../text/text-input.js";
import { type ChatMessage, templateMessages } from "./chat-messages.js";
import { ChatTemplate, type ChatToRender, chatTemplateOf } from "./chat-template.js";

/** In bytes; a text of a thousand chunks has some two million. */
const largestFile = 2 ** 28;

/** What a line is called in messages. */
const lineKind = {
  kind: "a conversation",
  advice: 'write {"messages": [{"role": "user", "content": "..."}, ...]}',
};

/** What a line of the file has; what else is in a message may be what a template looks at. */
const conversationSchema = z.looseObject({
  messages: z.array(z.looseObject({ role: z.string() })).min(1),
  tools: z.array(z.unknown()).optional(),
});

export interface ConversationLine {
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly unknown[] | undefined;
}

/** Whether a text is a file of conversations, by its name. */
export function isConversations(path: string): boolean {
  return /\.jsonl$/i.test(path);
}

/**
 * Reads conversations, `limit` of them at most. Throws an EnvironmentError or MalformedInputError that names the line.
 */
export async function readConversations(path: string, limit = Infinity): Promise<ConversationLine[]> {
  const lines = (await readWholeText(path, largestFile)).split("\n");
  const conversations: ConversationLine[] = [];
  for (const [number, line] of lines.entries()) {
    if (conversations.length >= limit) {
      break;
    }
    if (line.trim() !== "") {
      conversations.push(
        parseJsonAs(conversationSchema, line, `${path}:${number + 1}`, lineKind) as ConversationLine,
      );
    }
  }
  if (conversations.length === 0) {
    throw new MalformedInputError(
      `${path}: has no conversations; each line is a JSON object with "messages".`,
      {
        file: path,
      },
    );
  }
  return conversations;
}

/**
 * Renders conversations with the template of a model's header, and finds what the assistant says in them.
 * Throws a UsageError if the model has no template, or it refuses the messages.
 */
export async function renderConversations(
  conversations: readonly ConversationLine[],
  metadata: Metadata,
  name: string,
  signal?: AbortSignal,
): Promise<RenderedConversation[]> {
  const template = new ChatTemplate(chatTemplateOf(metadata, name));
  try {
    const rendered: RenderedConversation[] = [];
    for (const conversation of conversations) {
      rendered.push(...(await renderOne(template, conversation, signal)));
    }
    return rendered;
  } finally {
    template.close();
  }
}

/**
 * One text if what the template writes up to each answer is how the whole begins. Templates that change earlier
 * messages later on (leave out thoughts, say) give a text of its own for each answer that is not in the whole.
 */
async function renderOne(
  template: ChatTemplate,
  { messages: given, tools }: ConversationLine,
  signal: AbortSignal | undefined,
): Promise<RenderedConversation[]> {
  const messages = templateMessages(given);
  const render = (count: number, addGenerationPrompt: boolean) =>
    template.render(
      { messages: messages.slice(0, count), tools, addGenerationPrompt } satisfies ChatToRender,
      signal,
    );
  const whole = await render(messages.length, false);
  const spoken: (readonly [number, number])[] = [];
  const apart: RenderedConversation[] = [];
  for (const [at, { role }] of messages.entries()) {
    if (role !== "assistant") {
      continue;
    }
    const upTo = at === messages.length - 1 ? whole : await render(at + 1, false);
    const from = at === 0 ? 0 : commonLength(await render(at, true), upTo);
    if (from >= upTo.length) {
      throw new UsageError(
        `the chat template leaves out what the assistant says in message ${at + 1} of a conversation.`,
      );
    }
    if (whole.startsWith(upTo)) {
      spoken.push([from, upTo.length]);
    } else {
      apart.push({ text: upTo, spoken: [[from, upTo.length]] });
    }
  }
  return [...apart, ...(spoken.length > 0 ? [{ text: whole, spoken }] : [])];
}

function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < Math.min(a.length, b.length) && a[length] === b[length]) {
    length++;
  }
  return length;
}
