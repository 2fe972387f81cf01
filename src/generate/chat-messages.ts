/** A conversation in the form that chat templates expect, from the form that OpenAI's API has. */
import { UsageError } from "../errors.js";
import { parseBoundedJson } from "./bounded-json.js";

/** A part of a message's content; only text can be shown to the models that run here. */
export interface ContentPart {
  readonly type: string;
  readonly text?: string | undefined;
  /** What an assistant said when it refused. */
  readonly refusal?: string | undefined;
}

export interface ChatMessage {
  readonly role: string;
  readonly content?: string | readonly ContentPart[] | null | undefined;
  /** What an assistant called, in OpenAI's form. */
  readonly tool_calls?: readonly unknown[] | undefined;
  /** `tool_call_id`, `name`, `reasoning_content` and whatever else a template may look at. */
  readonly [field: string]: unknown;
}

/**
 * Parts become one text, since most templates expect a string. A tool call's arguments become an object: OpenAI
 * sends them as JSON in a string, which templates would escape once more; none at all are an empty object.
 * Throws a UsageError for a part that is not text.
 */
export function templateMessages(messages: readonly ChatMessage[]): ChatMessage[] {
  return messages.map(({ content, tool_calls, ...rest }) => ({
    ...rest,
    content: textOf(content),
    ...(tool_calls ? { tool_calls: tool_calls.map(withObjectArguments) } : {}),
  }));
}

function textOf(content: ChatMessage["content"]): string | null {
  if (content === undefined || content === null) {
    return content === null ? null : "";
  }
  if (typeof content === "string") {
    return content;
  }
  return content
    .map(({ type, text, refusal }) => {
      if (type === "text" && text !== undefined) {
        return text;
      }
      if (type === "refusal" && refusal !== undefined) {
        return refusal;
      }
      throw new UsageError(`a message has content of type "${type}"; only text can be read here.`);
    })
    .join("\n");
}

function withObjectArguments(call: unknown): unknown {
  if (!isObject(call) || !isObject(call.function)) {
    return call;
  }
  const { arguments: text, ...rest } = call.function;
  if (typeof text !== "string") {
    return call;
  }
  return { ...call, function: { ...rest, arguments: parsedObject(text) ?? text } };
}

function parsedObject(text: string): object | undefined {
  if (text.trim() === "") {
    return {};
  }
  try {
    const value = parseBoundedJson(text);
    return isObject(value) ? value : undefined;
  } catch (error) {
    if (error instanceof UsageError) {
      throw new UsageError(`the arguments of a tool call cannot be read: ${error.message}.`);
    }
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
