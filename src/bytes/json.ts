/**
 * Strict JSON (RFC 8259) for files that come from strangers. Unlike `JSON.parse` it refuses a name that stands
 * twice in an object (which of the two counts differs between readers), bounds what a document can take in memory,
 * and gives objects on which no name of the file can meet a property of ours: as `Map` where the names are the
 * file's own (tensors, tokens), as plain objects without a prototype for schemas (`typed-json.ts`).
 */
import { MalformedInputError } from "../errors.js";
import { quoted } from "./quoted.js";
import type { ByteSource } from "./source.js";

export type JsonValue = null | boolean | number | string | JsonArray | JsonObject;
export type JsonArray = readonly JsonValue[];
export type JsonObject = ReadonlyMap<string, JsonValue>;

/** JSON with objects that have their own names and no others. */
export type PlainJson = null | boolean | number | string | readonly PlainJson[] | PlainObject;
export interface PlainObject {
  readonly [name: string]: PlainJson;
}

/** Deepest nesting accepted. Model files need about ten levels; more would only serve to exhaust the stack. */
const maxDepth = 64;

/**
 * Most values in a document, and most of them objects. The largest real files, tokenizers with half a million merges
 * written as pairs, have two million values; safetensors headers have an object for each tensor, at most some hundred
 * thousand. An object takes up to 300 bytes of memory whatever it has in the file, so that without a limit 100 MB of
 * them would take many gigabytes.
 */
const mostValues = 2 ** 22;
const mostObjects = 2 ** 19;

/** Most values of a document with a schema, whose validation takes more memory than the values: real ones have a tenth. */
const mostPlainValues = 2 ** 20;

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
 * place if the text is not JSON, repeats a name, nests too deeply, has too many values or a number beyond float64.
 */
export function parseJson(text: string, name: string): JsonValue {
  return new Parser<JsonValue>(text, name, mostValues, (entries) => entries).document();
}

/** Like `parseJson`, with objects that have no prototype; fewer values are accepted. */
export function parsePlainJson(text: string, name: string): PlainJson {
  return new Parser<PlainJson>(text, name, mostPlainValues, plainObject).document();
}

/** Without a prototype a name like `__proto__` is one like any other. */
function plainObject(entries: ReadonlyMap<string, PlainJson>): PlainObject {
  const object: Record<string, PlainJson> = Object.create(null);
  for (const [name, value] of entries) {
    object[name] = value;
  }
  return object;
}

/**
 * Reads a whole source as JSON. Throws a MalformedInputError if it is longer than `maxBytes`, not UTF-8, or not
 * strict JSON.
 */
export async function readJson(source: ByteSource, maxBytes: number): Promise<JsonValue> {
  return parseJson(await readJsonText(source, maxBytes), source.name);
}

/** Reads a whole source as UTF-8 text; throws a MalformedInputError if it is longer than `maxBytes` or not UTF-8. */
export async function readJsonText(source: ByteSource, maxBytes: number): Promise<string> {
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

/** What every kind of value can be, beside objects. */
type Literal = null | boolean | number | string;

class Parser<Value> {
  readonly #text: string;
  readonly #name: string;
  readonly #mostValues: number;
  readonly #objectOf: (entries: ReadonlyMap<string, Value>) => Value;
  #position = 0;
  #values = 0;
  #objects = 0;

  constructor(
    text: string,
    name: string,
    mostValues: number,
    objectOf: (entries: ReadonlyMap<string, Value>) => Value,
  ) {
    this.#text = text;
    this.#name = name;
    this.#mostValues = mostValues;
    this.#objectOf = objectOf;
  }

  document(): Value {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#position < this.#text.length) {
      this.#fail("more text after the end of the document");
    }
    return value;
  }

  #value(depth: number): Value {
    if (depth > maxDepth) {
      this.#fail(`nested deeper than ${maxDepth} levels`);
    }
    if (++this.#values > this.#mostValues) {
      this.#fail(`more than ${this.#mostValues} values, which no file of this kind has`);
    }
    this.#skipSpace();
    const start = this.#text[this.#position];
    if (start === "{") {
      return this.#object(depth);
    }
    if (start === "[") {
      return this.#array(depth) as Value;
    }
    return (start === '"' ? this.#string() : this.#literal()) as Value;
  }

  #object(depth: number): Value {
    if (++this.#objects > mostObjects) {
      this.#fail(`more than ${mostObjects} objects, which no file of this kind has`);
    }
    const entries = new Map<string, Value>();
    this.#position++;
    if (this.#next("}")) {
      return this.#objectOf(entries);
    }
    do {
      this.#skipSpace();
      if (this.#text[this.#position] !== '"') {
        this.#fail("a name in double quotes was expected");
      }
      const key = this.#string();
      if (entries.has(key)) {
        this.#fail(`${quoted(key)} stands twice in one object`);
      }
      if (!this.#next(":")) {
        this.#fail('":" was expected');
      }
      entries.set(key, this.#value(depth + 1));
    } while (this.#next(","));
    if (!this.#next("}")) {
      this.#fail('"," or "}" was expected');
    }
    return this.#objectOf(entries);
  }

  #array(depth: number): readonly Value[] {
    const items: Value[] = [];
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

  #literal(): Literal {
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
