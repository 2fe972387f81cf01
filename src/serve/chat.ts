/** `/v1/chat/completions`. */
import type { AnswerPiece, Completion, GenerateRequest } from "../generate/request.js";
import { ApiError } from "./errors.js";
import { streamEvents } from "./event-stream.js";
import { range, requestOf, usageOf } from "./generation.js";
import { chatLogprobs } from "./logprobs.js";
import type { ChatRequest } from "./schemas.js";
import type { Caller, Service } from "./service.js";

/** Answers a conversation, at once or as events. */
export async function answerChat(service: Service, body: ChatRequest, caller: Caller): Promise<Response> {
  checkChoices(service, body.n);
  const release = service.admit(body.n);
  return releasedAfter(release, async () => {
    const { tokens } = await renderPrompt(service, body, caller);
    const requests = range(body.n).map((choice) => chatRequest(body, tokens, choice));
    return body.stream
      ? streamChat(service, body, requests, caller, release)
      : Response.json(await completeChat(service, body, requests, caller));
  });
}

/** Lets a request go when its response is made; that of a stream when it fails, or else when the stream ends. */
export async function releasedAfter(
  release: () => void,
  respond: () => Promise<Response>,
): Promise<Response> {
  let isStream = false;
  try {
    const response = await respond();
    isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
    return response;
  } finally {
    if (!isStream) {
      release();
    }
  }
}

/** Throws an ApiError if more choices are wanted than can be written at once. */
export function checkChoices(service: Service, count: number): void {
  const most = service.generator.slots;
  if (count > most)
    throw new ApiError(400, `n: ${count} choices cannot be written at once; ask for ${most} at most.`, {
      param: "n",
    });
}

function renderPrompt(service: Service, body: ChatRequest, caller: Caller) {
  const { messages, tools, tool_choice, chat_template_kwargs, parse_special } = body;
  const chat = {
    messages,
    tools: tool_choice === "none" ? undefined : tools,
    variables: chat_template_kwargs,
  };
  return service.chatPrompt(chat, caller, { parseSpecial: parse_special });
}

function chatRequest(body: ChatRequest, prompt: readonly number[], choice: number): GenerateRequest {
  return {
    ...requestOf(body, prompt, choice),
    maxTokens: body.max_completion_tokens ?? body.max_tokens,
    logprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
  };
}

async function completeChat(
  service: Service,
  body: ChatRequest,
  requests: readonly GenerateRequest[],
  caller: Caller,
): Promise<object> {
  const completions = await Promise.all(requests.map((request) => service.answer(request, caller)));
  return {
    ...service.envelope("chatcmpl"),
    object: "chat.completion",
    choices: completions.map((completion, index) => ({
      index,
      message: { role: "assistant", content: completion.text, refusal: null },
      logprobs: body.logprobs ? chatLogprobs(completion.logprobs) : null,
      finish_reason: completion.finishReason,
    })),
    usage: usageOf(completions, completions.length),
  };
}

function streamChat(
  service: Service,
  body: ChatRequest,
  requests: readonly GenerateRequest[],
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
      const sendDelta = (index: number, delta: object, piece?: AnswerPiece) =>
        send({
          ...envelope,
          choices: [
            {
              index,
              delta,
              logprobs: body.logprobs && piece ? chatLogprobs(piece.logprobs) : null,
              finish_reason: piece?.finish?.reason ?? null,
            },
          ],
        });
      const completions: Completion[] = await Promise.all(
        requests.map((request, index) =>
          service.answer(request, caller, {
            onStart: () => sendDelta(index, { role: "assistant", content: "" }),
            onPiece: (piece) => {
              if (piece.text !== "" || piece.logprobs.length > 0 || piece.finish)
                sendDelta(index, piece.text === "" ? {} : { content: piece.text }, piece);
            },
          }),
        ),
      );
      if (includesUsage) {
        send({ ...envelope, choices: [], usage: usageOf(completions, completions.length) });
      }
    },
    { end },
  );
}
