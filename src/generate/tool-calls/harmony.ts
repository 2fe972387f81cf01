/**
 * Answers in harmony, gpt-oss's format: messages with a channel each. `analysis` is what the model thinks, `final`
 * what it says, and a message to `functions.NAME` a call.
 */
import { type AnswerParser, type AnswerPart, uncertainFrom } from "./answer-parser.js";
import { argumentsText } from "./format.js";

/** Control tokens of the format. */
export const harmonyTokens = {
  start: "<|start|>",
  channel: "<|channel|>",
  constrain: "<|constrain|>",
  message: "<|message|>",
  end: "<|end|>",
  call: "<|call|>",
  return: "<|return|>",
} as const;

const ends = [harmonyTokens.end, harmonyTokens.call, harmonyTokens.return, harmonyTokens.start];

interface Header {
  readonly text: string;
  readonly isAnalysis: boolean;
  /** Function that the message is for. */
  readonly recipient: string | undefined;
}

export class HarmonyParser implements AnswerParser {
  #held = "";
  /** Of the message in hand; undefined while it is read. */
  #header: Header | undefined;
  #isPlain = false;
  #parts: AnswerPart[] = [];

  add(text: string): AnswerPart[] {
    this.#held += text;
    return this.#run(false);
  }

  end(): AnswerPart[] {
    return this.#run(true);
  }

  #run(isLast: boolean): AnswerPart[] {
    this.#parts = [];
    while (this.#header ? this.#readBody(this.#header, isLast) : this.#readHeader(isLast)) {}
    return this.#parts;
  }

  #readHeader(isLast: boolean): boolean {
    const { start, channel, message } = harmonyTokens;
    const text = this.#held.trimStart();
    const begins = [start, channel, "to="];
    const isHeader = begins.some((begin) => text.startsWith(begin));
    const mayBe = begins.some((begin) => begin.startsWith(text));
    if (this.#isPlain || (!isHeader && (isLast || !mayBe))) {
      this.#isPlain = true;
      this.#emit("content", this.#held);
      this.#held = "";
      return false;
    }
    const at = this.#held.indexOf(message);
    if (at < 0) {
      if (isLast) {
        this.#emit("content", this.#held);
        this.#held = "";
      }
      return false;
    }
    const header = this.#held.slice(0, at);
    this.#header = {
      text: header + message,
      isAnalysis: header.includes(`${channel}analysis`),
      recipient: /\bto=functions\.([^\s<]+)/.exec(header)?.[1],
    };
    this.#held = this.#held.slice(at + message.length);
    return true;
  }

  #readBody(header: Header, isLast: boolean): boolean {
    const found = ends
      .map((mark) => ({ mark, at: this.#held.indexOf(mark) }))
      .filter(({ at }) => at >= 0)
      .sort((a, b) => a.at - b.at)[0];
    if (header.recipient !== undefined) {
      if (found === undefined && !isLast) {
        return false;
      }
      const body = this.#held.slice(0, found?.at ?? this.#held.length);
      const given = argumentsText(body.trim() === "" ? {} : body);
      if (given === undefined) {
        this.#emit("content", header.text + body);
      } else {
        this.#parts.push({ type: "call", call: { name: header.recipient, arguments: given } });
      }
      this.#held = this.#held.slice(body.length);
    } else {
      const certain = found?.at ?? (isLast ? this.#held.length : uncertainFrom(this.#held, ends));
      this.#emit(header.isAnalysis ? "reasoning" : "content", this.#held.slice(0, certain));
      this.#held = this.#held.slice(certain);
    }
    if (found === undefined) {
      return false;
    }
    if (found.mark !== harmonyTokens.start) {
      this.#held = this.#held.slice(found.mark.length);
    }
    this.#header = undefined;
    return this.#held !== "";
  }

  #emit(type: "content" | "reasoning", text: string): void {
    if (text !== "") {
      this.#parts.push({ type, text });
    }
  }
}
