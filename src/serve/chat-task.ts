/** A conversation to answer, in a form that the APIs for chats have in common, and the answers to it. */
import type { ChatMessage } from "../generate/chat-messages.js";
import type { AnswerGrammar } from "../generate/grammar/constraint.js";
import type { AnswerPiece, Completion, GenerateRequest } from "../generate/request.js";
import type { AnswerParser } from "../generate/tool-calls/answer-parser.js";
import { AnswerFamily } from "../generate/tool-calls/families.js";
import type { ToolFunction } from "../generate/tool-calls/format.js";
import { ApiError } from "./errors.js";
import { type Caller, newId, type Service } from "./service.js";

/** A tool in OpenAI's form, as templates expect it. */
export interface ChatTool {
  readonly type: "function";
  readonly function: ToolFunction;
}

export interface ChatTask {
  readonly messages: readonly ChatMessage[];
  /** Tools that may be called. */
  readonly tools: readonly ChatTool[];
  /** Whether the answer may have more than one call. */
  readonly parallelCalls: boolean;
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
  /** Whether control tokens in messages are such. */
  readonly parseSpecial: boolean;
  /** What the answers follow, and whether they are then calls written as JSON. */
  readonly grammar?: AnswerGrammar | undefined;
  readonly areJsonCalls?: boolean | undefined;
  /** How each of the answers is written. */
  readonly answers: readonly Omit<GenerateRequest, "prompt">[];
}

export type ChatPart =
  | { readonly type: "content"; readonly text: string }
  | { readonly type: "reasoning"; readonly text: string }
  | { readonly type: "call"; readonly call: ChatCall };

export interface ChatCall {
  readonly index: number;
  readonly id: string;
  readonly name: string;
  /** JSON of an object. */
  readonly arguments: string;
}

export interface ChatAnswer {
  readonly content: string;
  readonly reasoning: string;
  readonly calls: readonly ChatCall[];
  readonly finishReason: "stop" | "length" | "tool_calls";
  readonly completion: Completion;
}

/** Hears of answers while they are written. */
export interface ChatListener {
  readonly onPart?: (choice: number, part: ChatPart) => void;
  /** The piece whose parts have just been heard. */
  readonly onPiece?: (choice: number, piece: AnswerPiece) => void;
}

/** A task whose prompt is ready. */
export interface PreparedChat {
  readonly tokens: readonly number[];
  write(caller: Caller, listener?: ChatListener): Promise<ChatAnswer[]>;
}

/**
 * Renders and tokenizes the prompt of a task. A last message of the assistant is continued.
 * Throws an ApiError for too many answers, and what rendering and tokenizing throw.
 */
export async function prepareChat(service: Service, task: ChatTask, caller: Caller): Promise<PreparedChat> {
  const last = task.messages.at(-1);
  const isContinued =
    last?.role === "assistant" &&
    !last.tool_calls?.length &&
    task.messages.length > 1 &&
    isText(last.content);
  const { tokens, text } = await service.chatPrompt(
    {
      messages: isContinued ? task.messages.slice(0, -1) : task.messages,
      tools: task.tools.length > 0 ? task.tools : undefined,
      variables: task.variables,
    },
    caller,
    { parseSpecial: task.parseSpecial, continuation: isContinued ? textOf(last.content) : "" },
  );
  const family = new AnswerFamily(service.templateText);
  const isFree = task.grammar === undefined;
  const tools = task.tools.map((tool) => tool.function);
  const parser = () =>
    family.parser({ tools, prompt: text, isFree, areJsonCalls: task.areJsonCalls === true });
  return {
    tokens,
    write: (answerCaller, listener = {}) =>
      Promise.all(
        task.answers.map((answer, choice) => {
          const request: GenerateRequest = {
            ...answer,
            prompt: tokens,
            grammar: task.grammar,
            visibleTokens: isFree ? family.visibleTokens(tools.length > 0) : [],
          };
          const reader = new AnswerReader(parser(), family, task.parallelCalls);
          return reader.read(service, request, answerCaller, {
            onPart: (part) => listener.onPart?.(choice, part),
            onPiece: (piece) => listener.onPiece?.(choice, piece),
          });
        }),
      ),
  };
}

/** Throws an ApiError if more choices are wanted than can be written at once. */
export function checkChoices(service: Service, count: number): void {
  const most = service.generator.slots;
  if (count > most) {
    throw new ApiError(400, `n: ${count} choices cannot be written at once; ask for ${most} at most.`, {
      param: "n",
    });
  }
}

/** Reads one answer while it is written. */
class AnswerReader {
  readonly #parser: AnswerParser;
  readonly #family: AnswerFamily;
  readonly #mostCalls: number;
  readonly #calls: ChatCall[] = [];
  #content = "";
  #reasoning = "";

  constructor(parser: AnswerParser, family: AnswerFamily, parallelCalls: boolean) {
    this.#parser = parser;
    this.#family = family;
    this.#mostCalls = parallelCalls ? Number.POSITIVE_INFINITY : 1;
  }

  async read(
    service: Service,
    request: GenerateRequest,
    caller: Caller,
    { onPart, onPiece }: { onPart: (part: ChatPart) => void; onPiece: (piece: AnswerPiece) => void },
  ): Promise<ChatAnswer> {
    const completion = await service.answer(request, caller, {
      onPiece: (piece) => {
        const parts = this.#parser.add(piece.text);
        for (const part of piece.finish ? [...parts, ...this.#parser.end()] : parts) {
          const heard = this.#hear(part);
          if (heard) {
            onPart(heard);
          }
        }
        onPiece(piece);
      },
    });
    const calls = this.#calls;
    return {
      content: this.#content,
      reasoning: this.#reasoning,
      calls,
      finishReason:
        calls.length > 0 && completion.finishReason === "stop" ? "tool_calls" : completion.finishReason,
      completion,
    };
  }

  #hear(part: ReturnType<AnswerParser["add"]>[number]): ChatPart | undefined {
    if (part.type === "content") {
      this.#content += part.text;
      return part;
    }
    if (part.type === "reasoning") {
      this.#reasoning += part.text;
      return part;
    }
    const index = this.#calls.length;
    if (index >= this.#mostCalls) {
      return undefined;
    }
    const { name, arguments: given, id = this.#family.newCallId?.() ?? newId("call") } = part.call;
    const call = { index, id, name, arguments: given };
    this.#calls.push(call);
    return { type: "call", call };
  }
}

function isText(content: ChatMessage["content"]): boolean {
  return typeof content === "string" || (content?.every(({ type }) => type === "text") ?? false);
}

function textOf(content: ChatMessage["content"]): string {
  return typeof content === "string" ? content : (content ?? []).map(({ text = "" }) => text).join("\n");
}
