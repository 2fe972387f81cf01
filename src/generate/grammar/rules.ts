/** The rules of a grammar in GBNF as they are made. */
import { UsageError } from "../../errors.js";

/** Most rules that schemas may make. */
const maxRules = 4000;
/** Most characters of their texts together. */
const maxCharacters = 500_000;

export class GrammarRules {
  readonly #bodies = new Map<string, string>();
  readonly #names = new Map<string, string>();
  /** Of each stem of names the last number that was given out. */
  readonly #numbers = new Map<string, number>();
  #characters = 0;

  /** The name of a rule with this body; equal bodies share one. */
  add(hint: string, body: string): string {
    const known = this.#names.get(body);
    if (known !== undefined) {
      return known;
    }
    const name = this.reserve(hint);
    this.define(name, body);
    this.#names.set(body, name);
    return name;
  }

  /** A name for a rule that is defined later. */
  reserve(hint: string): string {
    const stem = hint.replace(/[^A-Za-z0-9]+/g, "-").slice(0, 32) || "rule";
    let name = stem;
    // Counting from the last one: rules of one stem may be thousands.
    for (let number = this.#numbers.get(stem) ?? 2; this.#bodies.has(name); number++) {
      name = `${stem}-${number}`;
      this.#numbers.set(stem, number);
    }
    this.#bodies.set(name, "");
    if (this.#bodies.size > maxRules) {
      throw tooLarge();
    }
    return name;
  }

  define(name: string, body: string): void {
    this.#bodies.set(name, body);
    this.#characters += body.length;
    if (this.#characters > maxCharacters) {
      throw tooLarge();
    }
  }

  /** All rules as a text, with `root` as the whole. */
  toGbnf(root: string): string {
    const rules = [...this.#bodies].map(([name, body]) => `${name} ::= ${body}\n`);
    return `root ::= ${root}\n${rules.join("")}`;
  }
}

function tooLarge(): UsageError {
  return new UsageError(
    `the grammar of the schema has more than ${maxRules} rules or ${maxCharacters} characters; use a smaller schema.`,
  );
}

/** A text as GBNF writes it. */
export function literal(text: string): string {
  const escaped = text.replace(/[\\"\p{Cc}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 32 || code > 126 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\${character}`;
  });
  return `"${escaped}"`;
}

/** One of several; the alternatives in parentheses if there is more than one. */
export function oneOf(alternatives: readonly string[]): string {
  return alternatives.length === 1 ? (alternatives[0] ?? "") : `(${alternatives.join(" | ")})`;
}

/** An element, repeated. */
export function repeated(element: string, least: number, most: number | undefined): string {
  if (least === 1 && most === 1) {
    return element;
  }
  if (most === undefined) {
    return least === 0 ? `${element}*` : least === 1 ? `${element}+` : `${element}{${least},}`;
  }
  return most === 0 ? '""' : least === most ? `${element}{${least}}` : `${element}{${least},${most}}`;
}
