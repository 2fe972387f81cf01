/**
 * Regular expressions of JSON Schema (ECMAScript's, with Unicode) as GBNF over the characters of a JSON string.
 * What cannot be said in a context-free way (lookarounds, back references, word boundaries) is refused.
 */
import { UsageError } from "../../errors.js";
import { oneOf, repeated } from "./rules.js";

const maxLength = 2000;
const maxDepth = 32;
const lastCharacter = 0x10ffff;

/** Code points from the first to the last. */
type Range = readonly [first: number, last: number];

/** A part of a pattern: its GBNF, and how many characters it matches. */
export interface PatternPart {
  readonly gbnf: string;
  readonly least: number;
  readonly most: number;
}

const digits: Range[] = [[48, 57]];
const wordCharacters: Range[] = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
const spaces: Range[] = [
  [9, 13],
  [32, 32],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const lineEnds: Range[] = [
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
];
const classes: Readonly<Record<string, readonly Range[]>> = {
  d: digits,
  w: wordCharacters,
  s: spaces,
  D: complement(digits),
  W: complement(wordCharacters),
  S: complement(spaces),
};
const controls: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, 0: 0 };
/** How JSON writes characters that cannot stand in a string as they are. */
const jsonEscapes = new Map([
  [8, "b"],
  [9, "t"],
  [10, "n"],
  [12, "f"],
  [13, "r"],
  [34, '\\"'],
  [92, "\\\\"],
]);

/** Any character of a JSON string. */
export const anyCharacter = charactersGbnf([[0, lastCharacter]]) ?? "";

/**
 * The GBNF of the strings, without quotes, that a pattern matches somewhere, as `RegExp.prototype.test` does.
 * Throws a UsageError for what it cannot express.
 */
export function patternGbnf(pattern: string): PatternPart {
  const fail = (reason: string): never => {
    throw new UsageError(`the pattern ${JSON.stringify(pattern.slice(0, 100))} ${reason}.`);
  };
  if (pattern.length > maxLength) {
    return fail(`has more than ${maxLength} characters; use a shorter one`);
  }
  try {
    new RegExp(pattern, "u");
  } catch (error) {
    return fail(`is no regular expression (${error instanceof Error ? error.message.slice(-100) : error})`);
  }
  return new PatternReader(pattern, fail).read();
}

class PatternReader {
  readonly #characters: readonly string[];
  readonly #fail: (reason: string) => never;
  #at = 0;
  #depth = 0;

  constructor(pattern: string, fail: (reason: string) => never) {
    this.#characters = Array.from(pattern);
    this.#fail = fail;
  }

  read(): PatternPart {
    const anything = { gbnf: `${anyCharacter}*`, least: 0, most: Number.POSITIVE_INFINITY };
    return this.#alternatives(() => {
      const isBegun = this.#skip("^");
      const parts = this.#sequence();
      const isEnded = this.#skip("$");
      return sequence([...(isBegun ? [] : [anything]), ...parts, ...(isEnded ? [] : [anything])]);
    });
  }

  #alternatives(readOne: () => PatternPart): PatternPart {
    const found = [readOne()];
    while (this.#skip("|")) {
      found.push(readOne());
    }
    if (this.#at < this.#characters.length && this.#peek() !== ")") {
      this.#fail(`has "${this.#peek()}" in a place where a grammar cannot follow it`);
    }
    return {
      gbnf: oneOf(found.map(({ gbnf }) => gbnf || '""')),
      least: Math.min(...found.map(({ least }) => least)),
      most: Math.max(...found.map(({ most }) => most)),
    };
  }

  #sequence(): PatternPart[] {
    const parts: PatternPart[] = [];
    while (this.#at < this.#characters.length && !["|", ")", "$", "^"].includes(this.#peek())) {
      parts.push(this.#quantified(this.#atom()));
    }
    return parts;
  }

  #atom(): PatternPart {
    const next = this.#next();
    if (next === "(") {
      return this.#group();
    }
    const ranges =
      next === "["
        ? this.#class()
        : next === "."
          ? complement(lineEnds)
          : next === "\\"
            ? this.#escape()
            : single(next.codePointAt(0) ?? 0);
    const gbnf = charactersGbnf(ranges) ?? this.#fail("needs characters that a JSON text cannot have");
    return { gbnf, least: 1, most: 1 };
  }

  #group(): PatternPart {
    if (this.#skip("?")) {
      const kind = this.#next();
      if (kind === "<" && !["=", "!"].includes(this.#peek())) {
        while (this.#next() !== ">") {}
      } else if (kind !== ":") {
        this.#fail("looks around, which a grammar cannot");
      }
    }
    if (++this.#depth > maxDepth) {
      this.#fail(`has groups more than ${maxDepth} deep`);
    }
    const inner = this.#alternatives(() => sequence(this.#sequence()));
    this.#depth--;
    this.#at++;
    return { ...inner, gbnf: `(${inner.gbnf || '""'})` };
  }

  #quantified(part: PatternPart): PatternPart {
    const bounds = this.#quantifier();
    if (!bounds) {
      return part;
    }
    this.#skip("?");
    const [least, most] = bounds;
    const total = (count: number, each: number) => (count === 0 || each === 0 ? 0 : count * each);
    return {
      gbnf: repeated(part.gbnf, least, most),
      least: total(least, part.least),
      most: total(most ?? Number.POSITIVE_INFINITY, part.most),
    };
  }

  #quantifier(): readonly [least: number, most: number | undefined] | undefined {
    if (this.#skip("*")) {
      return [0, undefined];
    }
    if (this.#skip("+")) {
      return [1, undefined];
    }
    if (this.#skip("?")) {
      return [0, 1];
    }
    if (!this.#skip("{")) {
      return undefined;
    }
    let text = "";
    for (let next = this.#next(); next !== "}"; next = this.#next()) {
      text += next;
    }
    const [least = "", most] = text.split(",");
    return [Number(least), most === undefined ? Number(least) : most === "" ? undefined : Number(most)];
  }

  #class(): readonly Range[] {
    const isNegated = this.#skip("^");
    const ranges: Range[] = [];
    while (!this.#skip("]")) {
      const first = this.#classMember();
      const isRange = this.#peek() === "-" && this.#characters[this.#at + 1] !== "]";
      if (!isRange) {
        ranges.push(...first);
        continue;
      }
      this.#at++;
      const last = this.#classMember();
      ranges.push([first[0]?.[0] ?? 0, last[0]?.[1] ?? 0]);
    }
    return isNegated ? complement(ranges) : ranges;
  }

  #classMember(): readonly Range[] {
    const next = this.#next();
    if (next !== "\\") {
      return single(next.codePointAt(0) ?? 0);
    }
    if (this.#skip("b")) {
      return single(8);
    }
    return this.#skip("-") ? single(45) : this.#escape();
  }

  #escape(): readonly Range[] {
    const next = this.#next();
    const known = classes[next];
    if (known) {
      return known;
    }
    const control = controls[next];
    if (control !== undefined) {
      return single(control);
    }
    if (next === "x") {
      return single(this.#hexadecimal(2));
    }
    if (next === "c") {
      return single((this.#next().codePointAt(0) ?? 0) % 32);
    }
    if (next === "u") {
      return single(this.#codePoint());
    }
    if (/[A-Za-z1-9]/.test(next)) {
      this.#fail(`has "\\${next}", which a grammar cannot follow`);
    }
    return single(next.codePointAt(0) ?? 0);
  }

  #codePoint(): number {
    if (this.#skip("{")) {
      let text = "";
      for (let next = this.#next(); next !== "}"; next = this.#next()) {
        text += next;
      }
      return Number.parseInt(text, 16);
    }
    const unit = this.#hexadecimal(4);
    const isPair = unit >= 0xd800 && unit < 0xdc00 && this.#peek() === "\\";
    if (!isPair) {
      return unit;
    }
    this.#at += 2;
    return 0x10000 + (unit - 0xd800) * 0x400 + (this.#hexadecimal(4) - 0xdc00);
  }

  #hexadecimal(count: number): number {
    const text = this.#characters.slice(this.#at, this.#at + count).join("");
    this.#at += count;
    return Number.parseInt(text, 16);
  }

  #peek(): string {
    return this.#characters[this.#at] ?? "";
  }

  #next(): string {
    return this.#characters[this.#at++] ?? this.#fail("ends too early");
  }

  #skip(character: string): boolean {
    const isThere = this.#peek() === character;
    this.#at += isThere ? 1 : 0;
    return isThere;
  }
}

function sequence(parts: readonly PatternPart[]): PatternPart {
  return {
    gbnf: parts.map(({ gbnf }) => gbnf).join(" "),
    least: parts.reduce((sum, { least }) => sum + least, 0),
    most: parts.reduce((sum, { most }) => sum + most, 0),
  };
}

function single(code: number): readonly Range[] {
  return [[code, code]];
}

function complement(ranges: readonly Range[]): Range[] {
  const sorted = [...ranges].sort(([a], [b]) => a - b);
  const result: Range[] = [];
  let next = 0;
  for (const [first, last] of sorted) {
    if (first > next) {
      result.push([next, first - 1]);
    }
    next = Math.max(next, last + 1);
  }
  return next > lastCharacter ? result : [...result, [next, lastCharacter]];
}

/** A character of a JSON string, escaped where it must be; undefined if none of them can be in one. */
function charactersGbnf(ranges: readonly Range[]): string | undefined {
  const has = (code: number) => ranges.some(([first, last]) => code >= first && code <= last);
  // Control characters, quotation mark, backslash, and halves of surrogate pairs.
  const excluded: Range[] = [
    [0, 31],
    [34, 34],
    [92, 92],
    [0x7f, 0x7f],
    [0xd800, 0xdfff],
  ];
  const plain = complement([...complement(ranges), ...excluded]);
  const text = plain
    .map(([first, last]) => (first === last ? hex(first) : `${hex(first)}-${hex(last)}`))
    .join("");
  const escapes = [...jsonEscapes].filter(([code]) => has(code)).map(([, written]) => written);
  const escaped =
    escapes.length > 0 ? `"\\\\" ${escapes.length === 1 ? `"${escapes[0]}"` : `[${escapes.join("")}]`}` : "";
  const alternatives = [...(text === "" ? [] : [`[${text}]`]), ...(escaped === "" ? [] : [escaped])];
  return alternatives.length === 0
    ? undefined
    : escaped === ""
      ? oneOf(alternatives)
      : `(${alternatives.join(" | ")})`;
}

function hex(code: number): string {
  const isPlain = (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
  return isPlain ? String.fromCharCode(code) : `\\U${code.toString(16).padStart(8, "0")}`;
}
