/** A model whose answers are written beforehand, for tests of what servers make of answers. */

import type { ChatTemplate, ChatToRender } from "../generate/chat-template.js";
import type { GenerateControls, Generator } from "../generate/generator.js";
import type { Prompt } from "../generate/prompt.js";
import type { AnswerPiece, Completion, GenerateRequest } from "../generate/request.js";
import { createApp } from "../serve/app.js";
import { Service } from "../serve/service.js";

/** Sends a body to a path, and gets the response. */
export type Ask = (path: string, body: object) => Promise<Response>;

/**
 * The routes over a model that gives these answers in turn, a few characters at a time. Prompts are the conversation
 * as JSON, and each of their characters is a token.
 * @param template text by which the model's family is recognized
 */
export function scriptedModel(template: string, answers: readonly string[]): { ask: Ask; prompts: string[] } {
  const rest = [...answers];
  const prompts: string[] = [];
  const generator = {
    slots: 4,
    isReady: true,
    isResponsive: true,
    vocabulary: async () => ({ controlTexts: [], longestTokenBytes: 1 }),
    contextLength: async () => 100_000,
    tokenize: async (prompt: Prompt) => {
      const text = typeof prompt === "object" && "text" in prompt ? prompt.text : "";
      prompts.push(text);
      return [...text].map((character) => character.charCodeAt(0));
    },
    async generate(request: GenerateRequest, { onPiece }: GenerateControls): Promise<Completion> {
      const text = rest.shift() ?? "";
      const pieces = text.match(/[\s\S]{1,3}/g) ?? [];
      for (const piece of pieces) {
        onPiece?.({ text: piece, tokens: [1], logprobs: [] });
      }
      const finish = { reason: "stop", completionTokens: pieces.length, generationMs: 1 } as const;
      onPiece?.({ text: "", tokens: [], logprobs: [], finish } satisfies AnswerPiece);
      return {
        text,
        tokens: [],
        logprobs: [],
        finishReason: "stop",
        completionTokens: pieces.length,
        promptTokens: (request.prompt as readonly number[]).length,
        cachedTokens: 0,
        promptMs: 1,
        generationMs: 1,
      };
    },
  };
  const chatTemplate = { text: template, render: async (chat: ChatToRender) => JSON.stringify(chat) };
  const service = new Service({
    generator: generator as unknown as Generator,
    template: chatTemplate as unknown as ChatTemplate,
    modelId: "scripted",
    queueLength: 8,
  });
  const app = createApp(service, {
    host: "127.0.0.1",
    onError: (error) => {
      throw error;
    },
  });
  const ask: Ask = async (path, body) => app.request(path, { method: "POST", body: JSON.stringify(body) });
  return { ask, prompts };
}
