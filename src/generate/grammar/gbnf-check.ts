/**
 * Checks a grammar in GBNF, llama.cpp's notation, before llama.cpp reads it. Grammars come from clients: llama.cpp's
 * own reader writes its reasons to standard error only, aborts the process on some mistakes, and bounds neither
 * nesting nor memory.
 */
import { UsageError } from "../../errors.js";
import { checkGbnfCost, type GbnfItem, type GbnfRepetition, type GbnfRule } from "./gbnf-cost.js";

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
/** Strings, references and groups. */
const maxItems = 100_000;
/** Characters of a name, which llama.cpp repeats in those of the rules that it makes of repetitions. */
const maxName = 256;

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
  #repeated = 0;
  #items = 0;
  /** Rules and groups by their numbers. */
  readonly #rules: GbnfRule[] = [];
  readonly #numbers = new Map<string, number>();
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
    checkGbnfCost(this.#rules, (what, at) => this.#fail(what, at, "cannot be used"));
  }

  #rule(): void {
    const defined = this.#name() ?? this.#fail("expected the name of a rule");
    if (this.#defined.has(defined)) {
      this.#fail(`the rule "${defined}" is defined twice`);
    }
    this.#defined.add(defined);
    this.#take(space);
    this.#expect("::=");
    this.#take(spaceAndLines);
    this.#rules[this.#numberOf(defined)] = this.#alternatives();
    if (this.#at < this.#text.length && !/[\r\n]/.test(this.#peek())) {
      this.#fail("expected the end of the line");
    }
    this.#take(spaceAndLines);
  }

  #alternatives(): GbnfRule {
    const sequences = [this.#sequence()];
    while (this.#peek() === "|") {
      this.#at++;
      this.#take(spaceAndLines);
      sequences.push(this.#sequence());
    }
    return sequences;
  }

  #sequence(): GbnfItem[] {
    const items: GbnfItem[] = [];
    for (let at = this.#at, item = this.#element(); item; at = this.#at, item = this.#element()) {
      this.#skip();
      const repetitions: GbnfRepetition[] = [];
      for (let found = this.#match(repetition); found; found = this.#match(repetition)) {
        repetitions.push(this.#repetition(found));
        this.#skip();
      }
      const { width, rule } = item;
      const last = items.at(-1);
      if (last !== undefined && isText(last) && isText({ rule, repetitions })) {
        items[items.length - 1] = { ...last, width: last.width + width }; // most of a grammar is text
      } else {
        items.push({ width, rule, repetitions, at });
        this.#countItem();
      }
    }
    return items;
  }

  #element(): Pick<GbnfItem, "width" | "rule"> | undefined {
    const next = this.#peek();
    if (next === '"') {
      return { width: this.#literal() };
    }
    if (next === "[") {
      return { width: this.#characterClass() };
    }
    if (next === "(") {
      return { width: 1, rule: this.#group() };
    }
    if (next === ".") {
      this.#at++;
      return { width: 1 };
    }
    const at = this.#at;
    const used = this.#name();
    if (used === undefined) {
      return undefined;
    }
    if (!this.#used.has(used)) {
      this.#used.set(used, at);
    }
    return { width: 1, rule: this.#numberOf(used) };
  }

  /** Reads a string; its characters. */
  #literal(): number {
    let characters = 0;
    this.#at++;
    while (this.#peek() !== '"') {
      this.#character();
      characters++;
    }
    this.#at++;
    return characters;
  }

  /** Reads a class; the characters that it names. */
  #characterClass(): number {
    let characters = 0;
    const at = this.#at++;
    if (this.#peek() === "^") {
      this.#at++;
    }
    if (this.#peek() === "]") {
      this.#fail("a character class is empty", at);
    }
    while (this.#peek() !== "]") {
      const first = this.#character();
      characters++;
      if (this.#peek() === "-" && this.#text[this.#at + 1] !== "]") {
        this.#at++;
        characters++;
        if (this.#character() < first) {
          this.#fail("a range of characters ends before it begins", at);
        }
      }
    }
    this.#at++;
    return characters;
  }

  /** Reads what stands in parentheses; the number of its rule. */
  #group(): number {
    const at = this.#at++;
    if (++this.#depth > maxDepth) {
      this.#fail(`parentheses are nested more than ${maxDepth} deep`);
    }
    const rule = this.#newRule();
    this.#take(spaceAndLines);
    this.#rules[rule] = this.#alternatives();
    if (this.#peek() !== ")") {
      this.#fail("a parenthesis is not closed", at);
    }
    this.#at++;
    this.#depth--;
    return rule;
  }

  #repetition([sign = "", low, high]: RegExpExecArray): GbnfRepetition {
    const least = sign === "+" ? 1 : Number(low ?? 0);
    const most = high ? Number(high) : sign === "?" ? 1 : least;
    if (least > maxRepetition || most > maxRepetition) {
      this.#fail(`something is repeated more than ${maxRepetition} times`);
    }
    if (most < least) {
      this.#fail(`"${sign}" ends before it begins`);
    }
    this.#repeated += Math.max(1, most);
    if (this.#repeated > maxRepeated) {
      this.#fail(`the repetitions have more than ${maxRepeated} elements together`);
    }
    return { least, most: sign === "*" || sign === "+" || high === "" ? undefined : most };
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

  #countItem(): void {
    if (++this.#items > maxItems) {
      this.#fail(`the rules have more than ${maxItems} parts`);
    }
  }

  #name(): string | undefined {
    const at = this.#at;
    const found = this.#take(name);
    if (found !== undefined && found.length > maxName) {
      this.#fail(`a name has more than ${maxName} characters`, at);
    }
    return found;
  }

  #numberOf(named: string): number {
    const number = this.#numbers.get(named) ?? this.#newRule();
    this.#numbers.set(named, number);
    return number;
  }

  /** The number of another rule, which has no alternatives yet. */
  #newRule(): number {
    const number = this.#rules.push([]) - 1;
    if (number >= maxRules) {
      this.#fail(`the grammar has more than ${maxRules} rules and groups`);
    }
    return number;
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

  #fail(what: string, at = this.#at, verdict = "is not valid GBNF"): never {
    const before = this.#text.slice(0, at);
    const line = before.split("\n").length;
    const column = at - before.lastIndexOf("\n");
    throw new UsageError(`the grammar ${verdict}: ${what} (line ${line}, column ${column}); mend it.`);
  }
}

function isText({ rule, repetitions }: Pick<GbnfItem, "rule" | "repetitions">): boolean {
  return rule === undefined && repetitions.length === 0;
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
