/**
 * Checks a grammar in GBNF, llama.cpp's notation, before llama.cpp reads it. Grammars come from clients: llama.cpp's
 * own reader writes its reasons to standard error only, aborts the process on some mistakes, and bounds neither
 * nesting nor memory.
 */
import { UsageError } from "../../errors.js";

/** Longest grammar, in characters. */
const maxLength = 1_048_576;
/** Parentheses within parentheses. */
const maxDepth = 64;
/** llama.cpp's bound of one repetition. */
const maxRepetition = 2000;
/** Elements that all repetitions of a grammar may make together: llama.cpp writes them out. */
const maxRepeated = 100_000;
/** Rules and groups of a grammar: llama.cpp recurses through them, on a stack of 4 MiB. */
const maxRules = 5000;

const name = /[A-Za-z0-9-]+/y;
const space = /(?:[ \t]|#[^\r\n]*)*/y;
const spaceAndLines = /(?:[ \t\r\n]|#[^\r\n]*)*/y;
const character = /\\(?:x[\dA-Fa-f]{2}|u[\dA-Fa-f]{4}|U[\dA-Fa-f]{8}|[tnr\\"[\]])|[^\\\r\n]/uy;
const repetition = /[*+?]|\{[ \t]*(\d+)[ \t]*(?:,[ \t]*(\d*)[ \t]*)?\}/y;

/** Throws a UsageError, with line and column, unless llama.cpp can safely read the grammar. */
export function checkGbnf(text: string): void {
  if (text.length > maxLength) {
    throw new UsageError(
      `the grammar has ${text.length} characters, more than the ${maxLength} that are taken; make it smaller.`,
    );
  }
  new Checker(text).run();
}

class Checker {
  readonly #text: string;
  #at = 0;
  #depth = 0;
  #rules = 0;
  #repeated = 0;
  readonly #defined = new Set<string>();
  /** Names in use, and where. */
  readonly #used = new Map<string, number>();

  constructor(text: string) {
    this.#text = text;
  }

  run(): void {
    this.#take(spaceAndLines);
    while (this.#at < this.#text.length) {
      this.#rule();
    }
    if (!this.#defined.has("root")) {
      this.#fail('there is no rule named "root"');
    }
    for (const [used, at] of this.#used) {
      if (!this.#defined.has(used)) {
        this.#fail(`the rule "${used}" is used but not defined`, at);
      }
    }
  }

  #rule(): void {
    const defined = this.#take(name) ?? this.#fail("expected the name of a rule");
    if (this.#defined.has(defined)) {
      this.#fail(`the rule "${defined}" is defined twice`);
    }
    this.#defined.add(defined);
    this.#countRules(1);
    this.#take(space);
    this.#expect("::=");
    this.#take(spaceAndLines);
    this.#alternatives();
    if (this.#at < this.#text.length && !/[\r\n]/.test(this.#peek())) {
      this.#fail("expected the end of the line");
    }
    this.#take(spaceAndLines);
  }

  #alternatives(): void {
    this.#sequence();
    while (this.#peek() === "|") {
      this.#at++;
      this.#take(spaceAndLines);
      this.#sequence();
    }
  }

  #sequence(): void {
    while (this.#element()) {
      this.#skip();
      for (let found = this.#match(repetition); found; found = this.#match(repetition)) {
        this.#repeat(found);
        this.#skip();
      }
    }
  }

  #element(): boolean {
    const next = this.#peek();
    if (next === '"') {
      this.#literal();
    } else if (next === "[") {
      this.#characterClass();
    } else if (next === "(") {
      this.#group();
    } else if (next === ".") {
      this.#at++;
    } else {
      const at = this.#at;
      const used = this.#take(name);
      if (used !== undefined && !this.#used.has(used)) {
        this.#used.set(used, at);
      }
      return used !== undefined;
    }
    return true;
  }

  #literal(): void {
    this.#at++;
    while (this.#peek() !== '"') {
      this.#character();
    }
    this.#at++;
  }

  #characterClass(): void {
    const at = this.#at++;
    if (this.#peek() === "^") {
      this.#at++;
    }
    if (this.#peek() === "]") {
      this.#fail("a character class is empty", at);
    }
    while (this.#peek() !== "]") {
      const first = this.#character();
      if (this.#peek() === "-" && this.#text[this.#at + 1] !== "]") {
        this.#at++;
        if (this.#character() < first) {
          this.#fail("a range of characters ends before it begins", at);
        }
      }
    }
    this.#at++;
  }

  #group(): void {
    const at = this.#at++;
    if (++this.#depth > maxDepth) {
      this.#fail(`parentheses are nested more than ${maxDepth} deep`);
    }
    this.#countRules(1);
    this.#take(spaceAndLines);
    this.#alternatives();
    if (this.#peek() !== ")") {
      this.#fail("a parenthesis is not closed", at);
    }
    this.#at++;
    this.#depth--;
  }

  #repeat([sign, low, high]: RegExpExecArray): void {
    const least = Number(low ?? 0);
    const most = high ? Number(high) : least;
    if (least > maxRepetition || most > maxRepetition) {
      this.#fail(`something is repeated more than ${maxRepetition} times`);
    }
    if (most < least) {
      this.#fail(`"${sign}" ends before it begins`);
    }
    this.#repeated += most;
    if (this.#repeated > maxRepeated) {
      this.#fail(`the repetitions have more than ${maxRepeated} elements together`);
    }
  }

  /** A character, written out or escaped; its code point. */
  #character(): number {
    const at = this.#at;
    const found = this.#take(character) ?? this.#fail("expected a character or a valid escape");
    const code = /^\\[xuU]/.test(found)
      ? Number.parseInt(found.slice(2), 16)
      : (escapes.get(found) ?? found.codePointAt(0) ?? 0);
    if (code === 0 || code > 0x10ffff) {
      this.#fail(`"${found}" is no character of a text`, at);
    }
    return code;
  }

  #countRules(more: number): void {
    this.#rules += more;
    if (this.#rules > maxRules) {
      this.#fail(`the grammar has more than ${maxRules} rules and groups`);
    }
  }

  /** Lines may end within parentheses. */
  #skip(): void {
    this.#take(this.#depth > 0 ? spaceAndLines : space);
  }

  #expect(text: string): void {
    if (!this.#text.startsWith(text, this.#at)) {
      this.#fail(`expected "${text}"`);
    }
    this.#at += text.length;
  }

  #peek(): string {
    return this.#text[this.#at] ?? "";
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    this.#at += found?.[0].length ?? 0;
    return found;
  }

  #take(pattern: RegExp): string | undefined {
    return this.#match(pattern)?.[0];
  }

  #fail(what: string, at = this.#at): never {
    const before = this.#text.slice(0, at);
    const line = before.split("\n").length;
    const column = at - before.lastIndexOf("\n");
    throw new UsageError(`the grammar is not valid GBNF: ${what} (line ${line}, column ${column}); mend it.`);
  }
}

const escapes = new Map([
  ["\\t", 9],
  ["\\n", 10],
  ["\\r", 13],
  ["\\\\", 92],
  ['\\"', 34],
  ["\\[", 91],
  ["\\]", 93],
]);
