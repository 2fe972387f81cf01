/** `/v1/responses`, OpenAI's newer interface, over the same chats. Nothing is stored between two requests. */
import { z } from "zod";
import type { ChatMessage } from "../generate/chat-messages.js";
import { type ChatAnswer, type ChatPart, type ChatTask, prepareChat } from "./chat-task.js";
import { constraintOf } from "./constraints.js";
import { type EventStyle, streamEvents } from "./event-stream.js";
import { answerOf, usageOf } from "./generation.js";
import { releasedAfter } from "./releasing.js";
import { contentError, only } from "./schemas.js";
import { type Caller, newId, type Service } from "./service.js";

const contentPart = z.discriminatedUnion(
  "type",
  [
    z.object({ type: z.enum(["input_text", "output_text"]), text: z.string() }),
    z.object({ type: z.literal("refusal"), refusal: z.string() }),
  ],
  contentError,
);
const message = z.object({
  type: z.literal("message").optional(),
  role: z.enum(["user", "assistant", "system", "developer"]),
  content: z.union([z.string(), z.array(contentPart)]),
});
const call = z.object({
  type: z.literal("function_call"),
  call_id: z.string(),
  name: z.string(),
  arguments: z.string(),
});
const result = z.object({
  type: z.literal("function_call_output"),
  call_id: z.string(),
  output: z.union([z.string(), z.array(contentPart)]),
});
const thought = z.object({
  type: z.literal("reasoning"),
  content: z.array(z.looseObject({ text: z.string() })).nullish(),
});
const item = z.union(
  [message, call, result, thought],
  "must be a message, a function call, its output or reasoning",
);

const format = z.union(
  [
    z.object({ type: z.literal("text") }),
    z.object({ type: z.literal("json_object") }),
    z.object({
      type: z.literal("json_schema"),
      schema: z.unknown().optional(),
      name: z.unknown().optional(),
      strict: z.unknown().optional(),
    }),
  ],
  'must have the type "text", "json_object" or "json_schema"',
);

/** Body of `/v1/responses`. */
export const responsesSchema = z.strictObject({
  model: z.string().nullish(),
  input: z.union([z.string(), z.array(item).min(1)]),
  instructions: z.string().nullish(),
  tools: z
    .array(
      z.object({
        type: z.literal("function", "only functions can be called"),
        name: z.string().min(1),
        description: z.string().nullish(),
        parameters: z.unknown().optional(),
        strict: z.unknown().optional(),
      }),
    )
    .max(512)
    .nullish(),
  tool_choice: z
    .union([
      z.enum(["none", "auto", "required"]),
      z.object({ type: z.literal("function"), name: z.string() }).transform(({ name }) => ({ name })),
    ])
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(100).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.unknown().optional(),
  text: z.object({ format: format.optional(), verbosity: only("medium") }).nullish(),
  reasoning: z.looseObject({ effort: z.string().nullish() }).nullish(),
  truncation: only("disabled"),
  previous_response_id: only(),
  conversation: only(),
  background: only(false),
  include: z.unknown().optional(),
  store: z.unknown().optional(),
  metadata: z.unknown().optional(),
  user: z.unknown().optional(),
  safety_identifier: z.unknown().optional(),
  prompt_cache_key: z.unknown().optional(),
  prompt_cache_retention: z.unknown().optional(),
  service_tier: z.unknown().optional(),
});
export type ResponsesRequest = z.infer<typeof responsesSchema>;

const style: EventStyle = {
  isNamed: true,
  errorEvent: ({ code, message: text, param }) => ({ type: "error", code, message: text, param }),
};

/** Answers, at once or as events. */
export async function answerResponses(
  service: Service,
  body: ResponsesRequest,
  caller: Caller,
): Promise<Response> {
  const release = service.admit(1, caller);
  return releasedAfter(release, async () => {
    const chat = await prepareChat(service, taskOf(body), caller);
    const begun = {
      id: newId("resp"),
      object: "response",
      created_at: Math.floor(Date.now() / 1000),
      status: "in_progress",
      error: null,
      incomplete_details: null,
      instructions: body.instructions ?? null,
      max_output_tokens: body.max_output_tokens ?? null,
      metadata: body.metadata ?? {},
      model: service.modelId,
      output: [] as object[],
      parallel_tool_calls: body.parallel_tool_calls ?? true,
      previous_response_id: null,
      store: false,
      temperature: body.temperature ?? null,
      text: body.text ?? { format: { type: "text" } },
      tool_choice: body.tool_choice ?? "auto",
      tools: body.tools ?? [],
      top_p: body.top_p ?? null,
      truncation: "disabled",
      usage: null as object | null,
    };
    const ended = (answer: ChatAnswer, output: object[]) => ({
      ...begun,
      status: answer.finishReason === "length" ? "incomplete" : "completed",
      incomplete_details: answer.finishReason === "length" ? { reason: "max_output_tokens" } : null,
      output,
      usage: responseUsage(answer),
    });
    if (body.stream !== true) {
      const items = new Items(() => {});
      const [answer] = await chat.write(caller, { onPart: (_, part) => items.add(part) });
      const output = items.close();
      return Response.json(answer ? ended(answer, output) : begun);
    }
    return streamEvents(
      async (send) => {
        let number = 0;
        const sendNext = (event: object) => send({ ...event, sequence_number: number++ });
        sendNext({ type: "response.created", response: begun });
        sendNext({ type: "response.in_progress", response: begun });
        const items = new Items(sendNext);
        const [answer] = await chat.write(caller, { onPart: (_, part) => items.add(part) });
        const output = items.close();
        if (answer) {
          const response = ended(answer, output);
          sendNext({ type: `response.${response.status}`, response });
        }
      },
      { style, end: release },
    );
  });
}

function responseUsage({ completion }: ChatAnswer): object {
  const usage = usageOf([completion], 1);
  return {
    input_tokens: usage.prompt_tokens,
    input_tokens_details: usage.prompt_tokens_details,
    output_tokens: usage.completion_tokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: usage.total_tokens,
  };
}

function taskOf(body: ResponsesRequest): ChatTask {
  const { instructions, input, tool_choice: choice, parallel_tool_calls, reasoning } = body;
  const system = instructions ? [{ role: "system", content: instructions }] : [];
  const tools = (choice === "none" ? [] : (body.tools ?? [])).map(({ name, description, parameters }) => ({
    type: "function" as const,
    function: { name, ...(description ? { description } : {}), parameters: parameters ?? undefined },
  }));
  const sampling = { temperature: body.temperature ?? undefined, top_p: body.top_p ?? undefined };
  return {
    messages: [
      ...system,
      ...(typeof input === "string" ? [{ role: "user", content: input }] : messagesOf(input)),
    ],
    tools,
    parallelCalls: parallel_tool_calls ?? true,
    variables: reasoning?.effort ? { reasoning_effort: reasoning.effort } : {},
    parseSpecial: false,
    ...constraintOf({ tools, choice: choice ?? "auto", format: body.text?.format as never }),
    answers: [{ ...answerOf(sampling, 0), maxTokens: body.max_output_tokens ?? undefined }],
  };
}

type Item = z.infer<typeof item>;

/** Messages in the form of chats: what the assistant thought, said and called in a row is one message there. */
function messagesOf(items: readonly Item[]): ChatMessage[] {
  const messages: ChatMessage[] = [];
  for (const each of items) {
    const last = messages.at(-1);
    if (each.type === "function_call_output") {
      messages.push({ role: "tool", tool_call_id: each.call_id, content: textOf(each.output) });
    } else if (each.type === "function_call" || each.type === "reasoning") {
      const before =
        last?.role === "assistant" ? (messages.pop() ?? last) : { role: "assistant", content: "" };
      messages.push({ ...before, ...(each.type === "reasoning" ? thoughtOf(each) : callsOf(before, each)) });
    } else {
      const role = each.role === "developer" ? "system" : each.role;
      const isSameTurn = role === "assistant" && last?.role === "assistant" && last.content === "";
      const before = isSameTurn ? messages.pop() : {};
      messages.push({ ...before, role, content: textOf(each.content) });
    }
  }
  return messages;
}

function thoughtOf({ content }: z.infer<typeof thought>): object {
  return { reasoning_content: (content ?? []).map(({ text }) => text).join("\n") };
}

function callsOf(before: ChatMessage, { call_id: id, name, arguments: given }: z.infer<typeof call>): object {
  const added = { id, type: "function", function: { name, arguments: given } };
  return { tool_calls: [...(before.tool_calls ?? []), added] };
}

function textOf(content: string | readonly z.infer<typeof contentPart>[]): string {
  return typeof content === "string"
    ? content
    : content.map((each) => (each.type === "refusal" ? each.refusal : each.text)).join("\n");
}

/** The items of a response, and the events with which they grow. */
class Items {
  readonly #send: (event: object) => void;
  readonly #output: object[] = [];
  #type: "content" | "reasoning" | undefined;
  #id = "";
  #text = "";

  constructor(send: (event: object) => void) {
    this.#send = send;
  }

  add(part: ChatPart): void {
    if (part.type === "call") {
      this.#end();
      this.#addCall(part.call);
      return;
    }
    if (this.#type !== part.type) {
      this.#end();
      this.#begin(part.type);
    }
    this.#text += part.text;
    this.#send({ type: `${this.#event}.delta`, ...this.#place(), delta: part.text, logprobs: [] });
  }

  /** Ends the last item. */
  close(): object[] {
    this.#end();
    return this.#output;
  }

  get #event(): string {
    return this.#type === "content" ? "response.output_text" : "response.reasoning_text";
  }

  #place(): object {
    return { item_id: this.#id, output_index: this.#output.length, content_index: 0 };
  }

  #begin(type: "content" | "reasoning"): void {
    this.#type = type;
    this.#id = newId(type === "content" ? "msg" : "rs");
    this.#text = "";
    const added = { ...this.#item("in_progress"), content: [] };
    this.#send({ type: "response.output_item.added", output_index: this.#output.length, item: added });
    this.#send({ type: "response.content_part.added", ...this.#place(), part: this.#part() });
  }

  #end(): void {
    if (this.#type === undefined) {
      return;
    }
    this.#send({ type: `${this.#event}.done`, ...this.#place(), text: this.#text, logprobs: [] });
    this.#send({ type: "response.content_part.done", ...this.#place(), part: this.#part() });
    this.#finish(this.#item("completed"));
    this.#type = undefined;
  }

  #part(): object {
    return this.#type === "content"
      ? { type: "output_text", text: this.#text, annotations: [], logprobs: [] }
      : { type: "reasoning_text", text: this.#text };
  }

  #item(status: string): object {
    return this.#type === "content"
      ? { type: "message", id: this.#id, status, role: "assistant", content: [this.#part()] }
      : { type: "reasoning", id: this.#id, status, summary: [], content: [this.#part()] };
  }

  #addCall({ id: callId, name, arguments: given }: Extract<ChatPart, { type: "call" }>["call"]): void {
    const id = newId("fc");
    const whole = { type: "function_call", id, call_id: callId, name };
    const place = { item_id: id, output_index: this.#output.length };
    const added = { ...whole, arguments: "", status: "in_progress" };
    this.#send({ type: "response.output_item.added", output_index: this.#output.length, item: added });
    this.#send({ type: "response.function_call_arguments.delta", ...place, delta: given });
    this.#send({ type: "response.function_call_arguments.done", ...place, name, arguments: given });
    this.#finish({ ...whole, arguments: given, status: "completed" });
  }

  #finish(item: object): void {
    this.#send({ type: "response.output_item.done", output_index: this.#output.length, item });
    this.#output.push(item);
  }
}
