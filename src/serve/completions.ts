/** `/v1/completions`. */
import type { Completion, FinishReason, GenerateRequest, TokenLogprob } from "../generate/request.js";
import { checkChoices } from "./chat-task.js";
import { streamEvents } from "./event-stream.js";
import { answerOf, range, usageOf } from "./generation.js";
import { completionLogprobs } from "./logprobs.js";
import { releasedAfter } from "./releasing.js";
import type { CompletionRequest } from "./schemas.js";
import type { Caller, Service } from "./service.js";

/** Goes on with one or more texts, at once or as events. */
export async function answerCompletion(
  service: Service,
  body: CompletionRequest,
  caller: Caller,
): Promise<Response> {
  checkChoices(service, body.n);
  const release = service.admit(body.n * body.prompt.length, caller);
  return releasedAfter(release, async () => {
    const { parse_special } = body;
    const asked = body.prompt.map((prompt) =>
      typeof prompt === "string" ? { text: prompt, parseSpecial: parse_special } : prompt,
    );
    const prompts = await Promise.all(asked.map((prompt) => service.textPrompt(prompt, caller)));
    const requests = prompts.flatMap((prompt) =>
      range(body.n).map((choice) => completionRequest(body, prompt, choice)),
    );
    return body.stream
      ? streamCompletion(service, body, requests, caller, release)
      : Response.json(await complete(service, body, requests, caller));
  });
}

function completionRequest(
  body: CompletionRequest,
  prompt: readonly number[],
  choice: number,
): GenerateRequest {
  const { max_tokens: maxTokens, logprobs, grammar } = body;
  return {
    ...answerOf(body, choice),
    prompt,
    maxTokens,
    logprobs,
    grammar: grammar === undefined ? undefined : { gbnf: grammar },
  };
}

function choiceOf(
  body: CompletionRequest,
  index: number,
  part: { text: string; logprobs: readonly TokenLogprob[]; reason: FinishReason | null; offset: number },
): object {
  return {
    index,
    text: part.text,
    logprobs: body.logprobs === undefined ? null : completionLogprobs(part.logprobs, part.offset),
    finish_reason: part.reason,
  };
}

async function complete(
  service: Service,
  body: CompletionRequest,
  requests: readonly GenerateRequest[],
  caller: Caller,
): Promise<object> {
  const completions = await Promise.all(requests.map((request) => service.answer(request, caller)));
  return {
    ...service.envelope("cmpl"),
    object: "text_completion",
    choices: completions.map(({ text, logprobs, finishReason }, index) =>
      choiceOf(body, index, { text, logprobs, reason: finishReason, offset: 0 }),
    ),
    usage: usageOf(completions, body.n),
  };
}

function streamCompletion(
  service: Service,
  body: CompletionRequest,
  requests: readonly GenerateRequest[],
  caller: Caller,
  end: () => void,
): Response {
  const includesUsage = body.stream_options?.include_usage === true;
  const envelope = {
    ...service.envelope("cmpl"),
    object: "text_completion",
    ...(includesUsage ? { usage: null } : {}),
  };
  return streamEvents(
    async (send) => {
      const completions: Completion[] = await Promise.all(
        requests.map((request, index) => {
          let offset = 0;
          return service.answer(request, caller, {
            onPiece: ({ text, logprobs, finish }) => {
              if (text === "" && logprobs.length === 0 && !finish) {
                return;
              }
              const part = { text, logprobs, reason: finish?.reason ?? null, offset };
              send({ ...envelope, choices: [choiceOf(body, index, part)] });
              offset += text.length;
            },
          });
        }),
      );
      if (includesUsage) {
        send({ ...envelope, choices: [], usage: usageOf(completions, body.n) });
      }
    },
    { end },
  );
}
