/** What chat and plain completions have in common. */
import type { Completion, GenerateRequest } from "../generate/request.js";
import type { SamplingOptions } from "../generate/sampler.js";
import type { ChatRequest, CompletionRequest } from "./schemas.js";

/** How tokens are chosen, as the body says. */
export function samplingOf(body: ChatRequest | CompletionRequest, choice: number): Partial<SamplingOptions> {
  const given = {
    temperature: body.temperature,
    topP: body.top_p,
    topK: body.top_k,
    minP: body.min_p,
    // Choices of one request differ, but all of them can be had again.
    seed: body.seed === undefined ? undefined : body.seed + choice,
    frequencyPenalty: body.frequency_penalty,
    presencePenalty: body.presence_penalty,
    logitBias:
      body.logit_bias && Object.entries(body.logit_bias).map(([token, bias]) => [Number(token), bias]),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** A request's part that does not depend on the route. */
export function requestOf(
  body: ChatRequest | CompletionRequest,
  prompt: readonly number[],
  choice: number,
): GenerateRequest {
  return { prompt, stop: body.stop, sampling: samplingOf(body, choice) };
}

/** Tokens used, as OpenAI counts them: the prompt of several choices once. */
export function usageOf(completions: readonly Completion[], choicesPerPrompt: number): object {
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
