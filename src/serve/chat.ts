/** `/v1/chat/completions`. */
import type { TokenLogprob } from "../generate/request.js";
import { type ChatAnswer, type ChatPart, checkChoices, type PreparedChat, prepareChat } from "./chat-task.js";
import { streamEvents } from "./event-stream.js";
import { chatTask, usageOf } from "./generation.js";
import { chatLogprobs } from "./logprobs.js";
import { releasedAfter } from "./releasing.js";
import type { ChatRequest } from "./schemas.js";
import type { Caller, Service } from "./service.js";

/** Answers a conversation, at once or as events. */
export async function answerChat(service: Service, body: ChatRequest, caller: Caller): Promise<Response> {
  checkChoices(service, body.n);
  const release = service.admit(body.n, caller);
  return releasedAfter(release, async () => {
    const chat = await prepareChat(service, chatTask(body), caller);
    return body.stream
      ? streamChat(service, body, chat, caller, release)
      : Response.json(await completeChat(service, body, chat, caller));
  });
}

async function completeChat(
  service: Service,
  body: ChatRequest,
  chat: PreparedChat,
  caller: Caller,
): Promise<object> {
  const answers = await chat.write(caller);
  return {
    ...service.envelope("chatcmpl"),
    object: "chat.completion",
    choices: answers.map((answer, index) => ({
      index,
      message: messageOf(answer),
      logprobs: body.logprobs ? chatLogprobs(answer.completion.logprobs) : null,
      finish_reason: answer.finishReason,
    })),
    usage: usageOf(
      answers.map(({ completion }) => completion),
      answers.length,
    ),
  };
}

function messageOf({ content, reasoning, calls }: ChatAnswer): object {
  return {
    role: "assistant",
    content: content === "" && calls.length > 0 ? null : content,
    ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
    ...(calls.length === 0
      ? {}
      : {
          tool_calls: calls.map(({ id, name, arguments: given }) => ({
            id,
            type: "function",
            function: { name, arguments: given },
          })),
        }),
    refusal: null,
  };
}

function streamChat(
  service: Service,
  body: ChatRequest,
  chat: PreparedChat,
  caller: Caller,
  end: () => void,
): Response {
  const includesUsage = body.stream_options?.include_usage === true;
  const envelope = {
    ...service.envelope("chatcmpl"),
    object: "chat.completion.chunk",
    ...(includesUsage ? { usage: null } : {}),
  };
  return streamEvents(
    async (send) => {
      // Probabilities go out with the next delta: a call's text is held back until it is whole.
      const logprobs = new Map<number, TokenLogprob[]>();
      const sendDelta = (index: number, delta: object, reason: string | null = null) => {
        const held = logprobs.get(index) ?? [];
        logprobs.delete(index);
        const shown = body.logprobs && held.length > 0 ? chatLogprobs(held) : null;
        send({ ...envelope, choices: [{ index, delta, logprobs: shown, finish_reason: reason }] });
      };
      for (let index = 0; index < body.n; index++) {
        sendDelta(index, { role: "assistant", content: "" });
      }
      const answers = await chat.write(caller, {
        onPart: (index, part) => {
          for (const delta of deltasOf(part)) {
            sendDelta(index, delta);
          }
        },
        onPiece: (index, piece) => {
          logprobs.set(index, [...(logprobs.get(index) ?? []), ...piece.logprobs]);
        },
      });
      for (const [index, { finishReason }] of answers.entries()) {
        sendDelta(index, {}, finishReason);
      }
      if (includesUsage) {
        const completions = answers.map(({ completion }) => completion);
        send({ ...envelope, choices: [], usage: usageOf(completions, completions.length) });
      }
    },
    { end },
  );
}

function deltasOf(part: ChatPart): object[] {
  if (part.type === "content") {
    return [{ content: part.text }];
  }
  if (part.type === "reasoning") {
    return [{ reasoning_content: part.text }];
  }
  const { index, id, name, arguments: given } = part.call;
  return [
    { tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] },
    { tool_calls: [{ index, function: { arguments: given } }] },
  ];
}
