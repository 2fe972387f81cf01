/** `/v1/messages`, Anthropic's interface, over the same chats. */
import { z } from "zod";
import type { ChatMessage } from "../generate/chat-messages.js";
import { type ChatAnswer, type ChatPart, type ChatTask, prepareChat } from "./chat-task.js";
import { constraintOf, type ToolChoice } from "./constraints.js";
import type { ApiError } from "./errors.js";
import { type EventStyle, type Send, streamEvents } from "./event-stream.js";
import { answerOf } from "./generation.js";
import { releasedAfter } from "./releasing.js";
import { contentError } from "./schemas.js";
import { type Caller, newId, type Service } from "./service.js";

const cacheControl = { cache_control: z.unknown().optional() };
const text = z.object({
  type: z.literal("text"),
  text: z.string(),
  citations: z.unknown().optional(),
  ...cacheControl,
});
const thinking = z.object({
  type: z.literal("thinking"),
  thinking: z.string(),
  signature: z.unknown().optional(),
});
const toolUse = z.object({
  type: z.literal("tool_use"),
  id: z.string(),
  name: z.string(),
  input: z.record(z.string(), z.unknown()),
  ...cacheControl,
});
const toolResult = z.object({
  type: z.literal("tool_result"),
  tool_use_id: z.string(),
  content: z.union([z.string(), z.array(text)]).optional(),
  is_error: z.boolean().optional(),
  ...cacheControl,
});
const block = z.discriminatedUnion("type", [text, thinking, toolUse, toolResult], contentError);

const choice = z.discriminatedUnion("type", [
  z.object({ type: z.literal("auto"), disable_parallel_tool_use: z.boolean().optional() }),
  z.object({ type: z.literal("any"), disable_parallel_tool_use: z.boolean().optional() }),
  z.object({ type: z.literal("tool"), name: z.string(), disable_parallel_tool_use: z.boolean().optional() }),
  z.object({ type: z.literal("none") }),
]);

const conversation = {
  model: z.string().optional(),
  system: z.union([z.string(), z.array(text)]).optional(),
  messages: z
    .array(
      z.object({
        role: z.enum(["user", "assistant", "system"]),
        content: z.union([z.string(), z.array(block)]),
      }),
    )
    .min(1),
  tools: z
    .array(
      z.object({
        type: z.literal("custom", "only custom tools can be called").optional(),
        name: z.string().min(1),
        description: z.string().optional(),
        input_schema: z.record(z.string(), z.unknown()),
        ...cacheControl,
      }),
    )
    .max(512)
    .optional(),
  tool_choice: choice.optional(),
  thinking: z.looseObject({ type: z.enum(["enabled", "disabled", "adaptive"]) }).optional(),
};

/** Body of `/v1/messages`. */
export const messagesSchema = z.strictObject({
  ...conversation,
  max_tokens: z.int().min(1),
  stop_sequences: z.array(z.string().max(1000)).max(16).optional(),
  stream: z.boolean().optional(),
  temperature: z.number().min(0).max(1).optional(),
  top_p: z.number().min(0).max(1).optional(),
  top_k: z.int().min(0).optional(),
  metadata: z.unknown().optional(),
  service_tier: z.unknown().optional(),
});
export type MessagesRequest = z.infer<typeof messagesSchema>;

/** Body of `/v1/messages/count_tokens`. */
export const countSchema = z.strictObject(conversation);
export type CountRequest = z.infer<typeof countSchema>;

/** Errors in Anthropic's form. */
export function messagesError(error: ApiError): object {
  const types: Record<number, string> = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
  };
  return { type: "error", error: { type: types[error.status] ?? "api_error", message: error.message } };
}

const style: EventStyle = { isNamed: true, errorEvent: messagesError };

/** Answers a conversation, at once or as events. */
export async function answerMessages(
  service: Service,
  body: MessagesRequest,
  caller: Caller,
): Promise<Response> {
  const release = service.admit(1, caller);
  return releasedAfter(release, async () => {
    const { stop_sequences, max_tokens: maxTokens } = body;
    const stop = stop_sequences?.filter((sequence) => sequence !== "");
    const answer = { ...answerOf({ ...body, stop }, 0), maxTokens };
    const chat = await prepareChat(service, { ...taskOf(body), answers: [answer] }, caller);
    const message = {
      id: newId("msg"),
      type: "message",
      role: "assistant",
      model: service.modelId,
    };
    if (body.stream === true) {
      const write = async (send: Send) => {
        const usage = { input_tokens: chat.tokens.length, output_tokens: 0 };
        const begun = { ...message, content: [], stop_reason: null, stop_sequence: null, usage };
        send({ type: "message_start", message: begun });
        const blocks = new Blocks(send);
        const [written] = await chat.write(caller, { onPart: (_, part) => blocks.add(part) });
        blocks.close();
        if (written) {
          const delta = { stop_reason: stopReason(written), stop_sequence: null };
          send({ type: "message_delta", delta, usage: usageOf(written) });
        }
        send({ type: "message_stop" });
      };
      return streamEvents(write, { style, end: release });
    }
    const [written] = await chat.write(caller);
    return Response.json({
      ...message,
      content: written ? contentOf(written) : [],
      stop_reason: written ? stopReason(written) : null,
      stop_sequence: null,
      usage: written ? usageOf(written) : {},
    });
  });
}

/** Counts the tokens of a conversation's prompt. */
export async function countTokens(service: Service, body: CountRequest, caller: Caller): Promise<Response> {
  const release = service.admit(1, caller);
  return releasedAfter(release, async () => {
    const { tokens } = await prepareChat(service, { ...taskOf(body), answers: [] }, caller);
    return Response.json({ input_tokens: tokens.length });
  });
}

function taskOf(body: CountRequest): Omit<ChatTask, "answers"> {
  const system = body.system === undefined ? [] : [{ role: "system", content: joined(body.system) }];
  const mayCall = body.tool_choice?.type !== "none";
  const tools = (mayCall ? (body.tools ?? []) : []).map(({ name, description, input_schema }) => ({
    type: "function" as const,
    function: { name, ...(description === undefined ? {} : { description }), parameters: input_schema },
  }));
  const { thinking } = body;
  const toolChoice = body.tool_choice;
  return {
    messages: [...system, ...body.messages.flatMap(messagesOf)],
    tools,
    parallelCalls: !(
      toolChoice &&
      "disable_parallel_tool_use" in toolChoice &&
      toolChoice.disable_parallel_tool_use
    ),
    variables: thinking === undefined ? {} : { enable_thinking: thinking.type !== "disabled" },
    parseSpecial: false,
    ...constraintOf({ tools, choice: choiceOf(toolChoice) }),
  };
}

function choiceOf(given: CountRequest["tool_choice"]): ToolChoice {
  switch (given?.type) {
    case "any":
      return "required";
    case "tool":
      return { name: given.name };
    default:
      return given?.type ?? "auto";
  }
}

/** A message in OpenAI's form: results of tools are messages of their own there. */
function messagesOf({ role, content }: CountRequest["messages"][number]): ChatMessage[] {
  if (typeof content === "string") {
    return [{ role, content }];
  }
  const messages: ChatMessage[] = content.flatMap((each) =>
    each.type === "tool_result"
      ? [{ role: "tool", tool_call_id: each.tool_use_id, content: joined(each.content ?? "") }]
      : [],
  );
  const said = content.flatMap((each) => (each.type === "text" ? [each.text] : []));
  const thoughts = content.flatMap((each) => (each.type === "thinking" ? [each.thinking] : []));
  const calls = content.flatMap((each) =>
    each.type === "tool_use"
      ? [{ id: each.id, type: "function", function: { name: each.name, arguments: each.input } }]
      : [],
  );
  if (said.length > 0 || calls.length > 0) {
    messages.push({
      role,
      content: said.join("\n"),
      ...(thoughts.length > 0 ? { reasoning_content: thoughts.join("\n") } : {}),
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
    });
  }
  return messages;
}

function joined(content: string | readonly { readonly text: string }[]): string {
  return typeof content === "string" ? content : content.map((each) => each.text).join("\n");
}

function contentOf({ content, reasoning, calls }: ChatAnswer): object[] {
  return [
    ...(reasoning === "" ? [] : [{ type: "thinking", thinking: reasoning, signature: "" }]),
    ...(content === "" ? [] : [{ type: "text", text: content }]),
    ...calls.map(({ id, name, arguments: given }) => ({
      type: "tool_use",
      id,
      name,
      input: JSON.parse(given) as unknown,
    })),
  ];
}

function stopReason({ finishReason }: ChatAnswer): string {
  return { stop: "end_turn", length: "max_tokens", tool_calls: "tool_use" }[finishReason];
}

function usageOf({ completion }: ChatAnswer): object {
  return {
    input_tokens: completion.promptTokens - completion.cachedTokens,
    cache_read_input_tokens: completion.cachedTokens,
    cache_creation_input_tokens: 0,
    output_tokens: completion.completionTokens,
  };
}

/** The blocks of a message as events: each begins and ends. */
class Blocks {
  readonly #send: Send;
  #index = -1;
  #type: ChatPart["type"] | undefined;

  constructor(send: Send) {
    this.#send = send;
  }

  add(part: ChatPart): void {
    if (part.type === "call") {
      const { id, name, arguments: given } = part.call;
      this.#begin("call", { type: "tool_use", id, name, input: {} });
      this.#delta({ type: "input_json_delta", partial_json: given });
      return;
    }
    const isText = part.type === "content";
    if (this.#type !== part.type) {
      this.#begin(
        part.type,
        isText ? { type: "text", text: "" } : { type: "thinking", thinking: "", signature: "" },
      );
    }
    this.#delta(
      isText ? { type: "text_delta", text: part.text } : { type: "thinking_delta", thinking: part.text },
    );
  }

  close(): void {
    if (this.#type !== undefined) {
      this.#send({ type: "content_block_stop", index: this.#index });
    }
    this.#type = undefined;
  }

  #begin(type: ChatPart["type"], content: object): void {
    this.close();
    this.#type = type;
    this.#index++;
    this.#send({ type: "content_block_start", index: this.#index, content_block: content });
  }

  #delta(delta: object): void {
    this.#send({ type: "content_block_delta", index: this.#index, delta });
  }
}
