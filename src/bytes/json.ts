/**
 * Strict JSON (RFC 8259) for files that come from strangers. Unlike `JSON.parse` it refuses a name that stands
 * twice in an object (which of the two counts differs between readers) and gives objects as `Map`, so that no
 * name of the file can meet a property of ours.
 */
import { MalformedInputError } from "../errors.js";
import type { ByteSource } from "./source.js";

export type JsonValue = null | boolean | number | string | JsonArray | JsonObject;
export type JsonArray = readonly JsonValue[];
export type JsonObject = ReadonlyMap<string, JsonValue>;

/** Deepest nesting accepted. Model files need about ten levels; more would only serve to exhaust the stack. */
const maxDepth = 64;

/** Whether a JSON value is an object. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return value instanceof Map;
}

/** Whether a JSON value is an array. */
export function isJsonArray(value: JsonValue | undefined): value is JsonArray {
  return Array.isArray(value);
}

/**
 * Parses `text`. `name` is what the text is called in messages. Throws a MalformedInputError that gives the
 * place if the text is not JSON, repeats a name, nests too deeply or has a number beyond float64.
 */
export function parseJson(text: string, name: string): JsonValue {
  return new Parser(text, name).document();
}

/**
 * Reads a whole source as JSON. Throws a MalformedInputError if it is longer than `maxBytes`, not UTF-8, or not
 * strict JSON.
 */
export async function readJson(source: ByteSource, maxBytes: number): Promise<JsonValue> {
  return parseJson(await readText(source, maxBytes), source.name);
}

/** Reads a whole source as UTF-8 text; throws a MalformedInputError if it is longer than `maxBytes` or not UTF-8. */
export async function readText(source: ByteSource, maxBytes: number): Promise<string> {
  if (source.byteLength > maxBytes) {
    throw new MalformedInputError(
      `${source.name}: has ${source.byteLength} bytes, more than the ${maxBytes} that such a file can sensibly have; check that it is the right file.`,
      { file: source.name },
    );
  }
  return decodeUtf8(await source.read(0, source.byteLength), source.name);
}

/** Decodes UTF-8; throws a MalformedInputError at invalid bytes instead of replacing them. */
export function decodeUtf8(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new MalformedInputError(
      `${name}: is not valid UTF-8 text; download it again.`,
      { file: name },
      {
        cause,
      },
    );
  }
}

class Parser {
  #position = 0;

  readonly #text: string;
  readonly #name: string;

  constructor(text: string, name: string) {
    this.#text = text;
    this.#name = name;
  }

  document(): JsonValue {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#position < this.#text.length) {
      this.#fail("more text after the end of the document");
    }
    return value;
  }

  #value(depth: number): JsonValue {
    if (depth > maxDepth) {
      this.#fail(`nested deeper than ${maxDepth} levels`);
    }
    this.#skipSpace();
    const start = this.#text[this.#position];
    if (start === '"') {
      return this.#string();
    }
    if (start === "{") {
      return this.#object(depth);
    }
    if (start === "[") {
      return this.#array(depth);
    }
    return this.#literal();
  }

  #object(depth: number): JsonObject {
    const entries = new Map<string, JsonValue>();
    this.#position++;
    if (this.#next("}")) {
      return entries;
    }
    do {
      this.#skipSpace();
      if (this.#text[this.#position] !== '"') {
        this.#fail("a name in double quotes was expected");
      }
      const key = this.#string();
      if (entries.has(key)) {
        this.#fail(`${JSON.stringify(key)} stands twice in one object`);
      }
      if (!this.#next(":")) {
        this.#fail('":" was expected');
      }
      entries.set(key, this.#value(depth + 1));
    } while (this.#next(","));
    if (!this.#next("}")) {
      this.#fail('"," or "}" was expected');
    }
    return entries;
  }

  #array(depth: number): JsonArray {
    const items: JsonValue[] = [];
    this.#position++;
    if (this.#next("]")) {
      return items;
    }
    do {
      items.push(this.#value(depth + 1));
    } while (this.#next(","));
    if (!this.#next("]")) {
      this.#fail('"," or "]" was expected');
    }
    return items;
  }

  #string(): string {
    const start = this.#position;
    const literal = this.#text.slice(start, this.#endOfString(start));
    let value: string;
    try {
      value = JSON.parse(literal);
    } catch {
      this.#fail("a string with an invalid character or escape");
    }
    // Half of a surrogate pair cannot be written as UTF-8, so it could not be kept.
    if (literal.includes("\\") && /\p{Surrogate}/u.test(value)) {
      this.#fail("a string with half of a surrogate pair");
    }
    this.#position = start + literal.length;
    return value;
  }

  /** Place after the quote that ends the string begun at `start`: the next one not behind an odd run of backslashes. */
  #endOfString(start: number): number {
    for (let quote = start + 1; ; quote++) {
      quote = this.#text.indexOf('"', quote);
      if (quote < 0) {
        this.#fail("a string without an end");
      }
      let slashes = 0;
      while (this.#text[quote - 1 - slashes] === "\\") {
        slashes++;
      }
      if (slashes % 2 === 0) {
        return quote + 1;
      }
    }
  }

  #literal(): JsonValue {
    const word = this.#match(/true|false|null/y);
    if (word !== undefined) {
      return word === "null" ? null : word === "true";
    }
    const digits = this.#match(/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y);
    if (digits === undefined) {
      this.#fail("a value was expected");
    }
    const value = Number(digits);
    if (!Number.isFinite(value)) {
      this.#fail("a number too large for float64");
    }
    return value;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#position;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) {
      this.#position += found.length;
    }
    return found;
  }

  #next(symbol: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#position] !== symbol) {
      return false;
    }
    this.#position++;
    return true;
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#position);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) {
        return;
      }
      this.#position++;
    }
  }

  #fail(problem: string): never {
    throw new MalformedInputError(
      `${this.#name}: is not valid JSON at character ${this.#position}: ${problem}. Download it again.`,
      { file: this.#name, offset: this.#position },
    );
  }
}
