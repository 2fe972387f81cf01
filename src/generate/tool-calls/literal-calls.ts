/** Calls whose arguments are literals: LFM2 writes them as Python does, Gemma 4 with a token for quotes and bare names. */
import { type CallFormat, complete, isObject, jsonOf, type ToolCall } from "./format.js";
import { plainCalls } from "./json-calls.js";

/** Values within values; deeper ones are no arguments of a tool. */
const maxDepth = 64;

/** Thrown inside this file for what is not well-formed. */
class NoLiteral extends Error {}

/** How texts, and names in objects, are written. */
interface Notation {
  /** Text of a whole literal, by the groups of the pattern. */
  readonly text: { readonly pattern: RegExp; readonly read: (groups: readonly string[]) => string };
  /** A name in an object that is not a text. */
  readonly name?: RegExp;
}

const escapes: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  b: "\b",
  f: "\f",
  "\n": "",
};

const python: Notation = {
  text: {
    pattern: /'((?:[^'\\]|\\[\s\S])*)'|"((?:[^"\\]|\\[\s\S])*)"/y,
    read: ([, single, double]) =>
      (single ?? double ?? "").replace(
        /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|([\s\S]))/g,
        (_, two?: string, four?: string, one = "") =>
          two === undefined && four === undefined
            ? (escapes[one] ?? one)
            : String.fromCharCode(Number.parseInt(two ?? four ?? "", 16)),
      ),
  },
};

const gemma: Notation = {
  text: { pattern: /<\|"\|>([\s\S]*?)<\|"\|>/y, read: ([, text = ""]) => text },
  name: /[^\s:{}[\],<]+/y,
};

const constants: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ...["True", "true"].map((word) => [word, true] as const),
  ...["False", "false"].map((word) => [word, false] as const),
  ...["None", "null"].map((word) => [word, null] as const),
]);

class Reader {
  readonly #text: string;
  readonly #notation: Notation;
  #at = 0;
  #depth = 0;

  constructor(text: string, notation: Notation) {
    this.#text = text;
    this.#notation = notation;
  }

  /** Whether all was read. */
  get isAtEnd(): boolean {
    this.#match(/\s*/y);
    return this.#at === this.#text.length;
  }

  /** Reads this mark if it comes next. */
  has(mark: string): boolean {
    this.#match(/\s*/y);
    const isNext = this.#text.startsWith(mark, this.#at);
    this.#at += isNext ? mark.length : 0;
    return isNext;
  }

  expect(mark: string): void {
    if (!this.has(mark)) {
      throw new NoLiteral();
    }
  }

  /** Reads what a pattern finds here. */
  take(pattern: RegExp): string {
    this.#match(/\s*/y);
    const [found] = this.#match(pattern) ?? [];
    if (found === undefined) {
      throw new NoLiteral();
    }
    return found;
  }

  /** Reads things with commas between them up to a closing mark. */
  list<Item>(close: string, item: () => Item): Item[] {
    const items: Item[] = [];
    while (!this.has(close)) {
      items.push(item());
      if (!this.has(",")) {
        this.expect(close);
        break;
      }
    }
    return items;
  }

  value(): unknown {
    const text = this.#string();
    if (text !== undefined) {
      return text;
    }
    if (++this.#depth > maxDepth) {
      throw new NoLiteral();
    }
    const value = this.has("[")
      ? this.list("]", () => this.value())
      : this.has("{")
        ? Object.fromEntries(this.list("}", () => this.#entry()))
        : this.#plain();
    this.#depth--;
    return value;
  }

  #entry(): readonly [string, unknown] {
    const { name } = this.#notation;
    const key = this.#string() ?? (name ? this.take(name) : undefined);
    if (key === undefined) {
      throw new NoLiteral();
    }
    this.expect(":");
    return [key, this.value()];
  }

  /** A number or a constant. */
  #plain(): unknown {
    const word = this.take(/[-+\w.]+/y);
    if (constants.has(word)) {
      return constants.get(word);
    }
    const number = jsonOf(word);
    if (typeof number !== "number") {
      throw new NoLiteral();
    }
    return number;
  }

  #string(): string | undefined {
    this.#match(/\s*/y);
    const { pattern, read } = this.#notation.text;
    const groups = this.#match(pattern);
    return groups ? read([...groups]) : undefined;
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    this.#at += found?.[0].length ?? 0;
    return found;
  }
}

/** What `read` finds in a text, if it is well-formed to its end. */
function wholly<Found>(text: string, notation: Notation, read: (reader: Reader) => Found): Found | undefined {
  const reader = new Reader(text, notation);
  try {
    const found = read(reader);
    return reader.isAtEnd ? found : undefined;
  } catch (error) {
    if (error instanceof NoLiteral) {
      return undefined;
    }
    throw error;
  }
}

function pythonCall(reader: Reader): ToolCall {
  const name = reader.take(/[A-Za-z_][\w.-]*/y);
  reader.expect("(");
  const given = reader.list(")", (): [string, unknown] => {
    const key = reader.take(/[A-Za-z_]\w*/y);
    reader.expect("=");
    return [key, reader.value()];
  });
  return { name, arguments: JSON.stringify(Object.fromEntries(given)) };
}

/** `<|tool_call_start|>[name(key="value", other=3)]<|tool_call_end|>`, or a list of JSON */
export const lfm2: CallFormat = {
  open: ["<|tool_call_start|>"],
  close: "<|tool_call_end|>",
  tokens: ["<|tool_call_start|>", "<|tool_call_end|>"],
  parse(body) {
    const calls = wholly(body, python, (reader) => {
      reader.expect("[");
      return reader.list("]", () => pythonCall(reader));
    });
    return calls ? complete(calls) : plainCalls(body);
  },
};

/** `<|tool_call>call:name{key:<|"|>value<|"|>,other:3}<tool_call|>` */
export const gemma4Calls: CallFormat = {
  open: ["<|tool_call>"],
  close: "<tool_call|>",
  tokens: ["<|tool_call>", "<tool_call|>", '<|"|>'],
  parse: (body) =>
    wholly(body, gemma, (reader) => {
      reader.expect("call:");
      const name = reader.take(/[^\s{}:]+/y);
      const given = reader.value();
      if (!isObject(given)) {
        throw new NoLiteral();
      }
      return [{ name, arguments: JSON.stringify(given) }];
    }),
};
