/** What the bodies of chat and plain completions say, in the generator's words. */
import type { Completion, GenerateRequest } from "../generate/request.js";
import type { SamplingOptions } from "../generate/sampler.js";
import type { ChatTask } from "./chat-task.js";
import { constraintOf } from "./constraints.js";
import type { ChatRequest, SamplingFields } from "./schemas.js";

/** How tokens are chosen, as the body says. */
export function samplingOf(body: SamplingFields, choice: number): Partial<SamplingOptions> {
  const given = {
    temperature: body.temperature,
    topP: body.top_p,
    topK: body.top_k,
    minP: body.min_p,
    // Choices of one request differ, but all of them can be had again.
    seed: body.seed === undefined ? undefined : body.seed + choice,
    frequencyPenalty: body.frequency_penalty,
    presencePenalty: body.presence_penalty,
    logitBias: body.logit_bias,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** What does not depend on the route. */
export function answerOf(
  body: SamplingFields & { readonly stop?: readonly string[] | undefined },
  choice: number,
): Omit<GenerateRequest, "prompt"> {
  return { stop: body.stop, sampling: samplingOf(body, choice) };
}

/** The task of a chat. Throws an ApiError for what contradicts itself. */
export function chatTask(body: ChatRequest): ChatTask {
  const { tools = [], tool_choice: choice, chat_template_kwargs, reasoning_effort } = body;
  const mayCall = choice !== "none";
  return {
    messages: body.messages,
    tools: mayCall ? tools : [],
    parallelCalls: body.parallel_tool_calls ?? true,
    variables: { ...(reasoning_effort === undefined ? {} : { reasoning_effort }), ...chat_template_kwargs },
    parseSpecial: body.parse_special,
    ...constraintOf({
      tools: mayCall ? tools : [],
      choice: choice ?? "auto",
      format: body.response_format,
      grammar: body.grammar,
      schema: body.json_schema,
    }),
    answers: range(body.n).map((index) => ({
      ...answerOf(body, index),
      maxTokens: body.max_completion_tokens ?? body.max_tokens,
      logprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
    })),
  };
}

/** Tokens used, as OpenAI counts them: the prompt of several choices once. */
export function usageOf(completions: readonly Completion[], choicesPerPrompt: number) {
  const sum = (value: (completion: Completion) => number, of = completions) =>
    of.reduce((total, completion) => total + value(completion), 0);
  const firsts = completions.filter((_, index) => index % choicesPerPrompt === 0);
  const promptTokens = sum((completion) => completion.promptTokens, firsts);
  const completionTokens = sum((completion) => completion.completionTokens);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: sum((completion) => completion.cachedTokens, firsts) },
  };
}

/** Numbers 0 to `count` - 1. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
