/** Reads the tokens of a template one after the other. */
import { TemplateSyntaxError, type Token } from "./lexer.js";

/** How deeply a template may nest. */
const maxDepth = 400;

export class TokenReader {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  /** The next token. */
  get token(): Token | undefined {
    return this.#tokens[this.#at];
  }

  /** Takes the next token, whatever it is. */
  next(): Token | undefined {
    return this.#tokens[this.#at++];
  }

  /** Throws a TemplateSyntaxError with the line of the next token. */
  fail(message: string): never {
    throw new TemplateSyntaxError(message, (this.token ?? this.#tokens.at(-1))?.line ?? 1);
  }

  /** Whether a token is this operator or word. */
  is(value: string, ahead = 0): boolean {
    const token = this.#tokens[this.#at + ahead];
    return (
      token !== undefined && (token.type === "operator" || token.type === "name") && token.value === value
    );
  }

  /** Takes the next token if it is this operator or word. */
  skip(value: string): boolean {
    const isThere = this.is(value);
    this.#at += isThere ? 1 : 0;
    return isThere;
  }

  expect(value: string): void {
    if (!this.skip(value)) {
      this.fail(`expected '${value}', found '${this.token?.value ?? "the end"}'`);
    }
  }

  name(): string {
    const { token } = this;
    if (token?.type !== "name") {
      return this.fail(`expected a name, found '${token?.value ?? "the end"}'`);
    }
    this.#at++;
    return token.value;
  }

  /** Names with points between them. */
  dottedName(): string {
    let name = this.name();
    while (this.skip(".")) {
      name += `.${this.name()}`;
    }
    return name;
  }

  get isTagEnd(): boolean {
    return this.token === undefined || this.token.type === "end";
  }

  tagEnd(): void {
    if (this.token?.type !== "end") {
      this.fail(`unexpected '${this.token?.value ?? "end of the template"}' in a tag`);
    }
    this.#at++;
  }

  /** Reads something that may contain itself, to a bounded depth. */
  nested<Result>(read: () => Result): Result {
    if (++this.#depth > maxDepth) {
      this.fail("the template is nested too deeply");
    }
    const result = read();
    this.#depth--;
    return result;
  }
}
