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
  service.checkAdmission(body.model, body.n);
  const prompt = await renderPrompt(service, body, caller.signal);
  const requests = range(body.n).map((choice) => chatRequest(body, prompt, choice));
  return body.stream
    ? streamChat(service, body, requests, caller)
    : Response.json(await completeChat(service, body, requests, caller));
}

/** @throws ApiError if more choices are wanted than can be written at once */
export function checkChoices(service: Service, count: number): void {
  const most = service.generator.slots;
  if (count > most)
    throw new ApiError(400, `n: ${count} choices cannot be written at once; ask for ${most} at most.`, {
      param: "n",
    });
}

async function renderPrompt(service: Service, body: ChatRequest, signal: AbortSignal): Promise<string> {
  const { messages, tools, tool_choice, chat_template_kwargs } = body;
  return service.template().render(
    {
      messages,
      tools: tool_choice === "none" ? undefined : tools,
      variables: chat_template_kwargs,
    },
    signal,
  );
}

function chatRequest(body: ChatRequest, prompt: string, choice: number): GenerateRequest {
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
): Promise<Response> {
  const includesUsage = body.stream_options?.include_usage === true;
  const envelope = {
    ...service.envelope("chatcmpl"),
    object: "chat.completion.chunk",
    ...(includesUsage ? { usage: null } : {}),
  };
  return streamEvents(async (send) => {
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
    if (includesUsage) send({ ...envelope, choices: [], usage: usageOf(completions, completions.length) });
  });
}
