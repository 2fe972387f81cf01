/**
 * Takes an answer apart as it grows: what the model thought, what it says, the calls of tools. What looks like a call
 * is held back until it is whole; if it is not well-formed it is text.
 */
import type { CallFormat, ToolCall, ToolFunction } from "./format.js";

export type AnswerPart =
  | { readonly type: "content"; readonly text: string }
  | { readonly type: "reasoning"; readonly text: string }
  | { readonly type: "call"; readonly call: ToolCall };

/** What both kinds of answers, marked and in harmony's messages, have in common. */
export interface AnswerParser {
  add(text: string): AnswerPart[];
  /** What is left when the answer has ended. */
  end(): AnswerPart[];
}

/** The texts around what a model thinks. */
export interface ReasoningFormat {
  readonly open: string;
  readonly close: string;
  /** Texts of their control tokens, where they are not these texts themselves. */
  readonly tokens?: readonly string[];
}

export interface MarkedOptions {
  readonly calls?: CallFormat | undefined;
  readonly tools?: readonly ToolFunction[];
  readonly reasoning?: ReasoningFormat | undefined;
  /** The prompt ends with the opening text, or in the middle of what the model thinks. */
  readonly isReasoning?: boolean;
}

type Mode = "start" | "reasoning" | "content" | "call";

export class MarkedParser implements AnswerParser {
  readonly #options: MarkedOptions;
  #mode: Mode;
  /** Text that is not certain yet. */
  #held = "";
  /** Opening text of the call in hand, and how far its closing text was looked for. */
  #open = "";
  #searched = 0;
  /** Nothing came since a thought or a call: white space is left out. */
  #isBlank: boolean;
  #hasSpoken = false;
  #parts: AnswerPart[] = [];

  constructor(options: MarkedOptions) {
    this.#options = options;
    this.#mode = options.isReasoning ? "reasoning" : options.reasoning ? "start" : "content";
    this.#isBlank = options.reasoning !== undefined;
  }

  add(text: string): AnswerPart[] {
    this.#held += text;
    return this.#run(false);
  }

  end(): AnswerPart[] {
    return this.#run(true);
  }

  #run(isLast: boolean): AnswerPart[] {
    this.#parts = [];
    while (this.#step(isLast)) {}
    return this.#parts;
  }

  /** Does what can be done now; true if more can be. */
  #step(isLast: boolean): boolean {
    switch (this.#mode) {
      case "start":
        return this.#begin(isLast);
      case "reasoning":
        return this.#reason(isLast);
      case "content":
        return this.#say(isLast);
      case "call":
        return this.#call(isLast);
    }
  }

  #begin(isLast: boolean): boolean {
    const { open = "" } = this.#options.reasoning ?? {};
    const text = this.#held.trimStart();
    if (text.startsWith(open)) {
      this.#held = text.slice(open.length);
      this.#mode = "reasoning";
      return true;
    }
    if (open.startsWith(text) && !isLast) {
      return false;
    }
    this.#mode = "content";
    return true;
  }

  #reason(isLast: boolean): boolean {
    const { close = "" } = this.#options.reasoning ?? {};
    if (this.#isBlank) {
      this.#held = this.#held.trimStart();
    }
    const at = this.#held.indexOf(close);
    const certain = at >= 0 ? at : isLast ? this.#held.length : uncertainFrom(this.#held, [close]);
    const text = this.#held.slice(0, certain);
    const shown = at >= 0 || isLast ? text.trimEnd() : withoutEnd(text);
    this.#emit("reasoning", shown);
    this.#isBlank &&= shown === "";
    if (at < 0) {
      this.#held = this.#held.slice(shown.length);
      if (isLast) {
        this.#held = "";
      }
      return false;
    }
    this.#held = this.#held.slice(at + close.length);
    this.#isBlank = true;
    this.#mode = "content";
    return true;
  }

  #say(isLast: boolean): boolean {
    if (this.#isBlank) {
      this.#held = this.#held.trimStart();
    }
    const { calls } = this.#options;
    if (calls === undefined) {
      this.#speak(this.#held.length);
      return false;
    }
    if (calls.isBare && !this.#hasSpoken && /^\s*\{/.test(this.#held)) {
      this.#startCall(0, "");
      return true;
    }
    const found = calls.open
      .map((open) => ({ open, at: this.#held.indexOf(open) }))
      .filter(({ at }) => at >= 0)
      .sort((a, b) => a.at - b.at);
    const [first] = found;
    if (first) {
      this.#speak(this.#held.slice(0, first.at).trimEnd().length);
      this.#startCall(this.#held.indexOf(first.open), first.open);
      return true;
    }
    const certain = isLast ? this.#held.length : uncertainFrom(this.#held, calls.open);
    this.#speak(isLast ? certain : withoutEnd(this.#held.slice(0, certain)).length);
    return false;
  }

  #startCall(at: number, open: string): void {
    // What stands before is white space, which belongs to the text if this is no call.
    this.#open = this.#held.slice(0, at) + open;
    this.#held = this.#held.slice(at + open.length);
    this.#searched = 0;
    this.#mode = "call";
  }

  #call(isLast: boolean): boolean {
    const { calls } = this.#options;
    if (calls === undefined) {
      return false;
    }
    const open = this.#open.trimStart();
    const { close } = calls;
    while (close !== undefined) {
      const at = this.#held.indexOf(close, this.#searched);
      if (at < 0) {
        this.#searched = Math.max(0, this.#held.length - close.length + 1);
        break;
      }
      if (this.#emitCalls(calls.parse(this.#held.slice(0, at), this.#options.tools ?? [], open))) {
        this.#held = this.#held.slice(at + close.length);
        return true;
      }
      // The closing text may be part of an argument.
      this.#searched = at + close.length;
    }
    if (!isLast) {
      return false;
    }
    if (this.#emitCalls(calls.parse(this.#held, this.#options.tools ?? [], open))) {
      this.#held = "";
      return false;
    }
    this.#emit("content", this.#open + this.#held);
    this.#held = "";
    this.#mode = "content";
    return false;
  }

  #emitCalls(calls: readonly ToolCall[] | undefined): boolean {
    if (calls === undefined) {
      return false;
    }
    this.#parts.push(...calls.map((call) => ({ type: "call", call }) as const));
    this.#mode = "content";
    this.#isBlank = true;
    return true;
  }

  /** Gives out the beginning of what is held as text. */
  #speak(length: number): void {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    this.#isBlank &&= text === "";
    this.#hasSpoken ||= text.trim() !== "";
    this.#emit("content", text);
  }

  #emit(type: "content" | "reasoning", text: string): void {
    if (text !== "") {
      this.#parts.push({ type, text });
    }
  }
}

/** Where the end of a text begins that may be the beginning of one of these; its length if there is none. */
export function uncertainFrom(text: string, marks: readonly string[]): number {
  let from = text.length;
  for (const mark of marks) {
    for (let length = Math.min(mark.length - 1, text.length); length > text.length - from; length--) {
      if (text.endsWith(mark.slice(0, length))) {
        from = text.length - length;
      }
    }
  }
  return from;
}

/** A text without the white space at its end, which is left out before a call or the end of a thought. */
function withoutEnd(text: string): string {
  return text.trimEnd();
}
