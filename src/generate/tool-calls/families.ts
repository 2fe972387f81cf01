/** Which family's answers a model writes, recognized from its chat template. */
import { type AnswerParser, MarkedParser, type ReasoningFormat } from "./answer-parser.js";
import type { CallFormat, ToolFunction } from "./format.js";
import { HarmonyParser, harmonyTokens } from "./harmony.js";
import { apriel, commandR, functionary, granite, hermes, llama3, mistral, plainJson } from "./json-calls.js";
import { gemma4Calls, lfm2 } from "./literal-calls.js";
import { deepSeek, kimi } from "./token-calls.js";
import { deepSeekV4, deepSeekV32, glm, miniMax, qwen3Coder, seedOss } from "./xml-calls.js";

/** Texts that a family's templates have, all of them; the more special first. */
const callFormats: readonly (readonly [marks: string | readonly string[], format: CallFormat])[] = [
  [["｜DSML｜", "function_calls>"], deepSeekV32],
  ["｜DSML｜", deepSeekV4],
  ["tool▁calls▁begin", deepSeek],
  ["<|tool_calls_section_begin|>", kimi],
  ["minimax:tool_call", miniMax],
  ["seed:tool_call", seedOss],
  ["[TOOL_CALLS]", mistral],
  ["<|START_ACTION|>", commandR],
  ["<|tool_call>", gemma4Calls],
  ["List of tools: ", lfm2],
  ["<|tool_call_start|>", lfm2],
  ["<|tool_call|>", granite],
  ["<tool_calls>", apriel],
  ["<arg_key>", glm],
  [["<tool_call>", "<function="], qwen3Coder],
  ["<tool_call>", hermes],
  ["<function=", functionary],
  ["<|python_tag|>", llama3],
  ['"parameters": ', llama3],
];

const reasoningFormats: readonly ReasoningFormat[] = [
  { open: "<|channel>thought", close: "<channel|>", tokens: ["<|channel>", "<channel|>"] },
  { open: "<seed:think>", close: "</seed:think>" },
  { open: "[THINK]", close: "[/THINK]" },
  { open: "<think>", close: "</think>" },
];

export interface ParserOptions {
  /** Tools that may be called; none are looked for without. */
  readonly tools: readonly ToolFunction[];
  /** The prompt, whose end says whether the model is thinking already. */
  readonly prompt: string;
  /** Whether the model writes as it likes, not by a grammar. */
  readonly isFree?: boolean;
  /** Whether a grammar makes it write calls as JSON alone, whatever its family. */
  readonly areJsonCalls?: boolean;
}

/** How a model's answers are taken apart. */
export class AnswerFamily {
  readonly #isHarmony: boolean;
  readonly #calls: CallFormat | undefined;
  readonly #reasoning: ReasoningFormat | undefined;

  /** @param template source of the model's chat template */
  constructor(template: string) {
    const { channel, message } = harmonyTokens;
    this.#isHarmony = template.includes(channel) && template.includes(message);
    this.#calls = callFormats.find(([marks]) => [marks].flat().every((mark) => template.includes(mark)))?.[1];
    this.#reasoning = reasoningFormats.find(({ close }) => template.includes(close));
  }

  /** Control tokens that must be seen in an answer's text. */
  visibleTokens(hasTools: boolean): readonly string[] {
    if (this.#isHarmony) {
      return Object.values(harmonyTokens);
    }
    const { open, close, tokens } = this.#reasoning ?? {};
    const reasoning = tokens ?? [open, close].filter((text) => text !== undefined);
    const calls = this.#calls;
    return hasTools && calls
      ? [
          ...reasoning,
          ...calls.open,
          ...(calls.close === undefined ? [] : [calls.close]),
          ...(calls.tokens ?? []),
        ]
      : reasoning;
  }

  /** Makes names of calls that a model gave none. */
  get newCallId(): (() => string) | undefined {
    return this.#calls?.newId;
  }

  /** A parser for one answer. */
  parser({ tools, prompt, isFree = true, areJsonCalls = false }: ParserOptions): AnswerParser {
    if (!isFree) {
      return new MarkedParser(areJsonCalls ? { calls: plainJson, tools } : {});
    }
    if (this.#isHarmony) {
      return new HarmonyParser();
    }
    const reasoning = this.#reasoning;
    return new MarkedParser({
      calls: tools.length > 0 ? this.#calls : undefined,
      tools,
      reasoning,
      isReasoning: reasoning !== undefined && prompt.trimEnd().endsWith(reasoning.open),
    });
  }
}
