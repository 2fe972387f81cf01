/**
 * Text of users in a prompt: a control token that is written out in it (`<|im_end|>`) must not act as one. A template
 * mixes its own text, whose control tokens count, with theirs, so what looks like a control token is marked before
 * it is rendered: a character that occurs nowhere else is put into it, which the tokenizer takes out again.
 */

/** Characters that Unicode keeps for such use: they are in no text that is meant to be exchanged. */
const marks = Array.from({ length: 32 }, (_, index) => String.fromCharCode(0xfdd0 + index));

/** Finds control tokens in texts. */
export class LiteralText {
  readonly #pattern: RegExp | undefined;

  /** @param controlTexts texts of the model's control tokens */
  constructor(controlTexts: readonly string[]) {
    const texts = controlTexts.filter((text) => text.length > 1).sort((a, b) => b.length - a.length);
    this.#pattern = texts.length === 0 ? undefined : new RegExp(texts.map(insideOf).join("|"), "gu");
  }

  /**
   * Marks the control tokens in all strings of a value.
   * @returns the value, and the mark if there are any
   */
  mark<Value>(value: Value): { value: Value; mark: string | undefined } {
    const pattern = this.#pattern;
    if (pattern === undefined || !someString(value, (text) => text.search(pattern) >= 0)) {
      return { value, mark: undefined };
    }
    const mark = marks.find((each) => !someString(value, (text) => text.includes(each))) ?? marks[0] ?? "";
    return { value: mapStrings(value, (text) => text.replace(pattern, mark)) as Value, mark };
  }
}

/** The place behind the first character of a text. */
function insideOf(text: string): string {
  const [first = "", ...rest] = text;
  return `(?<=${escaped(first)})(?=${escaped(rest.join(""))})`;
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

function someString(value: unknown, test: (text: string) => boolean): boolean {
  if (typeof value === "string") {
    return test(value);
  }
  if (typeof value !== "object" || value === null) {
    return false;
  }
  return Object.entries(value).some(([key, item]) => test(key) || someString(item, test));
}

function mapStrings(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") {
    return change(value);
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  if (Array.isArray(value)) {
    return value.map((item) => mapStrings(item, change));
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [change(key), mapStrings(item, change)]),
  );
}
