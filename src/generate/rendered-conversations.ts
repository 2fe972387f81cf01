/** Conversations in a file, a JSON object in each line with `messages` and perhaps `tools`, as a model's template writes them. */
import { z } from "zod";
import { readWholeText } from "../bytes/text-file.js";
import { parseJsonAs } from "../bytes/typed-json.js";
import { MalformedInputError, UsageError } from "../errors.js";
import type { Metadata } from "../gguf/metadata.js";
import { bytesFor } from "../text/text.js";
import type { PlainText, RenderedConversation } from "../text/text-input.js";
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

/** A conversation, and where it stands: the file and its line. */
export interface PlacedConversation extends ConversationLine {
  readonly where: string;
}

/** Whether a text is a file of conversations, by its name. */
export function isConversations(path: string): boolean {
  return /\.jsonl$/i.test(path);
}

/**
 * Reads conversations, `limit` of them at most. Throws an EnvironmentError or MalformedInputError that names the line.
 */
export async function readConversations(path: string, limit = Infinity): Promise<PlacedConversation[]> {
  const lines = (await readWholeText(path, largestFile)).split("\n");
  const conversations: PlacedConversation[] = [];
  for (const [number, line] of lines.entries()) {
    if (conversations.length >= limit) {
      break;
    }
    if (line.trim() !== "") {
      const where = `${path}:${number + 1}`;
      const { messages, tools } = parseJsonAs(conversationSchema, line, where, lineKind) as ConversationLine;
      conversations.push({ messages, tools, where });
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
 * Throws a UsageError if the model has no template, or it refuses the messages, with their place.
 */
export async function renderConversations(
  conversations: readonly PlacedConversation[],
  metadata: Metadata,
  name: string,
  signal?: AbortSignal,
): Promise<RenderedConversation[]> {
  const template = new ChatTemplate(chatTemplateOf(metadata, name));
  try {
    const rendered: RenderedConversation[] = [];
    for (const conversation of conversations) {
      rendered.push(...(await naming(conversation, () => renderOne(template, conversation, signal))));
    }
    return rendered;
  } finally {
    template.close();
  }
}

/**
 * A text to calibrate on: of a file of conversations what the template of the model's header makes of them, one after
 * the other, until there are `tokens` for sure. Errors: see `readConversations` and `renderConversations`.
 */
export async function asPlainText(
  path: string,
  { metadata, name }: { readonly metadata: Metadata; readonly name: string },
  {
    parseSpecial = false,
    tokens = Infinity,
    signal,
  }: {
    readonly parseSpecial?: boolean | undefined;
    readonly tokens?: number | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<PlainText> {
  if (!isConversations(path)) {
    return { path, parseSpecial };
  }
  const conversations = await readConversations(path);
  const template = new ChatTemplate(chatTemplateOf(metadata, name));
  try {
    const texts: string[] = [];
    let length = 0;
    for (const { where, messages, tools } of conversations) {
      if (length >= bytesFor(tokens)) {
        break;
      }
      const chat = { messages, tools, addGenerationPrompt: false };
      const text = await naming({ where }, () => template.render(chat, signal));
      texts.push(text);
      length += text.length;
    }
    return { path, parseSpecial: true, rendered: texts.join("\n\n") };
  } finally {
    template.close();
  }
}

/** Does something with a conversation; a UsageError about it says where it stands. */
async function naming<T>({ where }: { readonly where: string }, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof UsageError
      ? new UsageError(`${where}: ${error.message}`, { file: where }, { cause: error })
      : error;
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
