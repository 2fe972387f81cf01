/** The expressions of a template, with the precedences of jinja2 (jinja2/parser.py). */
import type { CallArguments, Comparison, Expression, Named, Spread } from "./ast.js";
import type { Token } from "./lexer.js";
import { unescapeText } from "./python-text.js";
import type { TokenReader } from "./token-reader.js";
import { Float } from "./values.js";

/** Words that are values; nothing else can have their names. */
export const constants: Readonly<Record<string, boolean | null>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
};
const noArguments: CallArguments = { positional: [], named: [] };

/** Its methods go from what binds loosest to what binds tightest. */
export class ExpressionParser {
  readonly #reader: TokenReader;

  constructor(reader: TokenReader) {
    this.#reader = reader;
  }

  /** Filters with pipes between them; the first without one where it stands alone. */
  filters(isFirstBare: boolean): Named[] {
    const filters: Named[] = [];
    while ((isFirstBare && filters.length === 0) || this.#reader.skip("|")) {
      const name = this.#reader.dottedName();
      filters.push({ name, arguments: this.#reader.is("(") ? this.arguments() : noArguments });
    }
    return filters;
  }

  /** Expressions with commas between them, without parentheses; one of them alone is no tuple. */
  tuple(withConditional = true): Expression {
    const items: Expression[] = [];
    do {
      if (
        items.length > 0 &&
        (this.#reader.isTagEnd || this.#reader.is(")") || this.#reader.is("recursive"))
      ) {
        return { type: "tuple", items };
      }
      items.push(withConditional ? this.expression() : this.#or());
    } while (this.#reader.skip(","));
    const [first] = items;
    return items.length === 1 && first !== undefined ? first : { type: "tuple", items };
  }

  expression(): Expression {
    return this.#reader.nested(() => {
      let value = this.#or();
      while (this.#reader.skip("if")) {
        const condition = this.#or();
        const otherwise = this.#reader.skip("else") ? this.expression() : undefined;
        value = { type: "conditional", condition, value, otherwise };
      }
      return value;
    });
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#reader.skip("or")) {
      left = { type: "or", left, right: this.#and() };
    }
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#reader.skip("and")) {
      left = { type: "and", left, right: this.#not() };
    }
    return left;
  }

  #not(): Expression {
    return this.#reader.skip("not")
      ? { type: "not", operand: this.#reader.nested(() => this.#not()) }
      : this.#comparison();
  }

  #comparison(): Expression {
    const first = this.#sum();
    const rest: Comparison[] = [];
    for (;;) {
      const symbol = ["==", "!=", "<=", ">=", "<", ">", "in"].find((operator) => this.#reader.skip(operator));
      if (symbol !== undefined) {
        rest.push({ operator: symbol, operand: this.#sum() });
      } else if (this.#reader.is("not") && this.#reader.is("in", 1)) {
        this.#reader.next();
        this.#reader.next();
        rest.push({ operator: "not in", operand: this.#sum() });
      } else {
        return rest.length === 0 ? first : { type: "comparison", first, rest };
      }
    }
  }

  #sum(): Expression {
    return this.#leftToRight(["+", "-"], () =>
      this.#leftToRight(["~"], () =>
        this.#leftToRight(["*", "//", "/", "%"], () => this.#leftToRight(["**"], () => this.#unary())),
      ),
    );
  }

  #leftToRight(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      const operator = operators.find((symbol) => this.#reader.skip(symbol));
      if (operator === undefined) {
        return left;
      }
      left = { type: "binary", operator, left, right: operand() };
    }
  }

  #unary(withFilters = true): Expression {
    const sign = (["-", "+"] as const).find((symbol) => this.#reader.skip(symbol));
    const value: Expression =
      sign === undefined
        ? this.#primary()
        : { type: sign, operand: this.#reader.nested(() => this.#unary(false)) };
    const whole = this.#postfix(value);
    return withFilters ? this.#filtered(whole) : whole;
  }

  #primary(): Expression {
    const { token } = this.#reader;
    if (token === undefined || token.type === "end") {
      return this.#reader.fail("an expression is missing");
    }
    this.#reader.next();
    switch (token.type) {
      case "name":
        return token.value in constants
          ? { type: "constant", value: constants[token.value] ?? null }
          : { type: "name", name: token.value };
      case "integer":
        return { type: "constant", value: Number(token.value.replaceAll("_", "")) };
      case "float":
        return { type: "constant", value: new Float(Number(token.value.replaceAll("_", ""))) };
      case "string":
        return this.#text(token);
      default:
        return this.#reader.nested(() => this.#bracketed(token));
    }
  }

  /** Texts that stand beside each other are one. */
  #text(first: Token): Expression {
    let value = unescapeText(first.value.slice(1, -1));
    for (let token = this.#reader.token; token?.type === "string"; token = this.#reader.token) {
      value += unescapeText(token.value.slice(1, -1));
      this.#reader.next();
    }
    return { type: "constant", value };
  }

  #bracketed({ value }: Token): Expression {
    if (value === "(") {
      if (this.#reader.skip(")")) {
        return { type: "tuple", items: [] };
      }
      const inner = this.tuple();
      this.#reader.expect(")");
      return inner;
    }
    if (value === "[") {
      return { type: "list", items: this.#separated("]", () => this.expression()) };
    }
    if (value === "{") {
      const entries = this.#separated("}", (): [Expression, Expression] => {
        const key = this.expression();
        this.#reader.expect(":");
        return [key, this.expression()];
      });
      return { type: "dict", entries };
    }
    return this.#reader.fail(`unexpected '${value}'`);
  }

  /** Items up to a closing bracket; a comma may stand after the last. */
  #separated<Item>(end: string, read: () => Item): Item[] {
    const items: Item[] = [];
    while (!this.#reader.skip(end)) {
      if (items.length > 0) {
        this.#reader.expect(",");
        if (this.#reader.skip(end)) {
          break;
        }
      }
      items.push(read());
    }
    return items;
  }

  #postfix(operand: Expression): Expression {
    let value = operand;
    for (;;) {
      if (this.#reader.skip(".")) {
        value = this.#member(value);
      } else if (this.#reader.skip("[")) {
        value = this.#subscript(value);
      } else if (this.#reader.is("(")) {
        value = { type: "call", callee: value, arguments: this.arguments() };
      } else {
        return value;
      }
    }
  }

  #member(object: Expression): Expression {
    const token = this.#reader.token;
    if (token?.type === "integer") {
      this.#reader.next();
      return { type: "element", object, key: { type: "constant", value: Number(token.value) } };
    }
    return { type: "attribute", object, name: this.#reader.name() };
  }

  #subscript(object: Expression): Expression {
    const bound = () =>
      this.#reader.is(":") || this.#reader.is("]") || this.#reader.is(",") ? undefined : this.expression();
    const start = bound();
    if (this.#reader.skip(":")) {
      const stop = bound();
      const step = this.#reader.skip(":") ? bound() : undefined;
      this.#reader.expect("]");
      return { type: "slice", object, start, stop, step };
    }
    if (start === undefined) {
      return this.#reader.fail("an index is missing");
    }
    const items = [start];
    while (this.#reader.skip(",")) {
      items.push(this.expression());
    }
    this.#reader.expect("]");
    return { type: "element", object, key: items.length === 1 ? start : { type: "tuple", items } };
  }

  #filtered(operand: Expression): Expression {
    let value = operand;
    for (;;) {
      if (this.#reader.is("|")) {
        for (const filter of this.filters(false)) {
          value = { type: "filter", operand: value, filter };
        }
      } else if (this.#reader.skip("is")) {
        value = this.#test(value);
      } else if (this.#reader.is("(")) {
        value = { type: "call", callee: value, arguments: this.arguments() };
      } else {
        return value;
      }
    }
  }

  #test(operand: Expression): Expression {
    const isNegated = this.#reader.skip("not");
    const name = this.#reader.dottedName();
    const test: Expression = { type: "test", operand, test: { name, arguments: this.#testArguments() } };
    return isNegated ? { type: "not", operand: test } : test;
  }

  /** In parentheses, or one that stands behind the test's name. */
  #testArguments(): CallArguments {
    if (this.#reader.is("(")) {
      return this.arguments();
    }
    const token = this.#reader.token;
    const begins =
      token !== undefined &&
      (["name", "string", "integer", "float"].includes(token.type) ||
        this.#reader.is("[") ||
        this.#reader.is("{"));
    if (!begins || ["else", "or", "and", "if", "in", "not", "is"].some((word) => this.#reader.is(word))) {
      return noArguments;
    }
    return { positional: [this.#postfix(this.#primary())], named: [] };
  }

  arguments(): CallArguments {
    this.#reader.expect("(");
    const positional: (Expression | Spread)[] = [];
    const named: CallArguments["named"][number][] = [];
    this.#separated(")", () => {
      if (this.#reader.skip("**")) {
        named.push({ value: this.expression() });
      } else if (this.#reader.skip("*")) {
        positional.push({ type: "spread", value: this.expression() });
      } else if (this.#reader.token?.type === "name" && this.#reader.is("=", 1)) {
        const name = this.#reader.name();
        this.#reader.expect("=");
        named.push({ name, value: this.expression() });
      } else if (named.length > 0) {
        this.#reader.fail("a positional argument follows a named one");
      } else {
        positional.push(this.expression());
      }
    });
    return { positional, named };
  }
}
