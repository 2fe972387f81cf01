/** Prompts to be answered: lines of text, or of JSON with `messages` or a `prompt`. */
import { z } from "zod";
import { readWholeText } from "../bytes/text-file.js";
import { parseJsonAs } from "../bytes/typed-json.js";
import { MalformedInputError } from "../errors.js";
import type { ChatMessage } from "../generate/chat-messages.js";
import { type ConversationLine, isConversations } from "../generate/rendered-conversations.js";
import { checkText } from "../text/text.js";

/** In bytes. */
const largestFile = 2 ** 28;

const lineKind = {
  kind: "a prompt",
  advice: 'write {"messages": [{"role": "user", "content": "..."}]} or {"prompt": "..."}',
};

const promptSchema = z
  .looseObject({
    messages: z
      .array(z.looseObject({ role: z.string() }))
      .min(1)
      .optional(),
    prompt: z.string().min(1).optional(),
    system: z.string().optional(),
    tools: z.array(z.looseObject({ function: z.looseObject({ name: z.string() }) })).optional(),
  })
  .refine(({ messages, prompt }) => (messages === undefined) !== (prompt === undefined), {
    message: 'needs either "messages" or a "prompt"',
  });

/** What is to be answered, and where it stands. */
export interface CorpusPrompt extends ConversationLine {
  /** Line in its file, counted from 1. */
  readonly line: number;
}

/**
 * Reads prompts: JSON where the file is named .jsonl, else texts. Answers with which a conversation ends are left out,
 * since they are what is to be written. Throws an EnvironmentError, or a MalformedInputError that names the line.
 */
export async function readPrompts(path: string): Promise<CorpusPrompt[]> {
  await checkText(path);
  const lines = (await readWholeText(path, largestFile)).split(/\r?\n/);
  const read = isConversations(path) ? fromJson : fromText;
  const prompts = lines.flatMap((text, at) =>
    text.trim() === "" ? [] : [{ line: at + 1, ...read(text, `${path}:${at + 1}`) }],
  );
  if (prompts.length === 0) {
    throw new MalformedInputError(`${path}: has no prompt; write one in each line.`, { file: path });
  }
  return prompts;
}

function fromText(content: string): ConversationLine {
  return { messages: [{ role: "user", content }] };
}

function fromJson(text: string, where: string): ConversationLine {
  const { messages, prompt, system, tools } = parseJsonAs(promptSchema, text, where, lineKind);
  const given: readonly ChatMessage[] = (messages as readonly ChatMessage[] | undefined) ?? [
    ...(system === undefined ? [] : [{ role: "system", content: system }]),
    { role: "user", content: prompt ?? "" },
  ];
  const last = given.findLastIndex(({ role }) => role !== "assistant");
  if (last < 0) {
    throw new MalformedInputError(
      `${where}: has only messages of the assistant; nothing is there to be answered.`,
    );
  }
  return { messages: given.slice(0, last + 1), ...(tools && tools.length > 0 && { tools }) };
}
