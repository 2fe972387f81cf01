/** The syntax tree of a template: its statements, as jinja2 reads them (jinja2/parser.py). */
import type { Body, Expression, Parameter, Statement, Target } from "./ast.js";
import { constants, ExpressionParser } from "./expression-parser.js";
import { tokenize } from "./lexer.js";
import { TokenReader } from "./token-reader.js";

/** Reads a template. Throws a TemplateSyntaxError. */
export function parseTemplate(template: string): Body {
  return new Parser(new TokenReader(tokenize(template))).template();
}

class Parser {
  readonly #reader: TokenReader;
  readonly #expressions: ExpressionParser;

  constructor(reader: TokenReader) {
    this.#reader = reader;
    this.#expressions = new ExpressionParser(reader);
  }

  template(): Body {
    const body = this.#body([]);
    return this.#reader.token === undefined ? body : this.#reader.fail("the template should end here");
  }

  /** What stands before a block of one of these names, whose tag is left to read. */
  #body(ends: readonly string[]): Body {
    return this.#reader.nested(() => {
      const body: Statement[] = [];
      for (let token = this.#reader.token; token !== undefined; token = this.#reader.token) {
        this.#reader.next();
        if (token.type === "text") {
          body.push({ type: "text", text: token.value });
        } else if (token.value === "print") {
          body.push({ type: "print", value: this.#expressions.tuple() });
          this.#reader.tagEnd();
        } else if (ends.some((end) => this.#reader.is(end))) {
          return body;
        } else {
          body.push(...this.#statement());
        }
      }
      return ends.length === 0 ? body : this.#reader.fail(`{% ${ends.at(-1)} %} is missing`);
    });
  }

  /** The rest of an opening tag, a body, and the closing tag. */
  #bodyTo(end: string): Body {
    this.#reader.tagEnd();
    const body = this.#body([end]);
    this.#reader.next();
    this.#reader.tagEnd();
    return body;
  }

  #statement(): readonly Statement[] {
    const keyword = this.#reader.name();
    switch (keyword) {
      case "if":
        return [this.#if()];
      case "for":
        return [this.#for()];
      case "set":
        return [this.#set()];
      case "macro": {
        const name = this.#reader.name();
        const parameters = this.#parameters();
        return [{ type: "macro", name, parameters, body: this.#bodyTo("endmacro") }];
      }
      case "call":
        return [this.#callBlock()];
      case "filter": {
        const filters = this.#expressions.filters(true);
        return [{ type: "filter block", filters, body: this.#bodyTo("endfilter") }];
      }
      case "with":
        return [this.#with()];
      case "generation": // transformers' mark of what the assistant wrote
        return this.#bodyTo("endgeneration");
      case "break":
      case "continue":
        this.#reader.tagEnd();
        return [{ type: keyword }];
      default:
        return this.#reader.fail(`unknown tag '${keyword}'`);
    }
  }

  #if(): Statement {
    const condition = this.#expressions.tuple(false);
    this.#reader.tagEnd();
    const body = this.#body(["elif", "else", "endif"]);
    const end = this.#reader.name();
    if (end === "elif") {
      return { type: "if", condition, body, otherwise: [this.#reader.nested(() => this.#if())] };
    }
    return { type: "if", condition, body, otherwise: this.#restAfter(end, "endif") };
  }

  /** The body after an `else`, if that is what was read. */
  #restAfter(read: string, end: string): Body {
    if (read === "else") {
      return this.#bodyTo(end);
    }
    this.#reader.tagEnd();
    return [];
  }

  #for(): Statement {
    const target = this.#target();
    this.#reader.expect("in");
    const iterable = this.#expressions.tuple(false);
    const condition = this.#reader.skip("if") ? this.#expressions.expression() : undefined;
    const isRecursive = this.#reader.skip("recursive");
    this.#reader.tagEnd();
    const body = this.#body(["else", "endfor"]);
    const otherwise = this.#restAfter(this.#reader.name(), "endfor");
    return { type: "for", target, iterable, condition, isRecursive, body, otherwise };
  }

  #set(): Statement {
    const target = this.#reader.is(".", 1) ? this.#attributeTarget() : this.#target();
    if (this.#reader.skip("=")) {
      const value = this.#expressions.tuple();
      this.#reader.tagEnd();
      return { type: "set", target, value };
    }
    const filters = this.#expressions.filters(false);
    return { type: "set block", target, filters, body: this.#bodyTo("endset") };
  }

  #callBlock(): Statement {
    const parameters = this.#reader.is("(") ? this.#parameters() : [];
    const call = this.#expressions.expression();
    if (call.type !== "call") {
      return this.#reader.fail("{% call %} needs a call");
    }
    const body = this.#bodyTo("endcall");
    return { type: "call block", callee: call.callee, arguments: call.arguments, parameters, body };
  }

  #with(): Statement {
    const bindings: [Target, Expression][] = [];
    while (!this.#reader.isTagEnd) {
      if (bindings.length > 0) {
        this.#reader.expect(",");
      }
      const target = this.#target();
      this.#reader.expect("=");
      bindings.push([target, this.#expressions.expression()]);
    }
    return { type: "with", bindings, body: this.#bodyTo("endwith") };
  }

  #parameters(): Parameter[] {
    this.#reader.expect("(");
    const parameters: Parameter[] = [];
    while (!this.#reader.skip(")")) {
      if (parameters.length > 0) {
        this.#reader.expect(",");
      }
      const name = this.#reader.name();
      parameters.push({
        name,
        otherwise: this.#reader.skip("=") ? this.#expressions.expression() : undefined,
      });
    }
    return parameters;
  }

  #attributeTarget(): Target {
    const namespace = this.#reader.name();
    this.#reader.expect(".");
    return { type: "attribute", namespace, name: this.#reader.name() };
  }

  /** A name, or names with commas between them, which may be in parentheses. */
  #target(): Target {
    const targets = [this.#oneTarget()];
    let isTuple = false;
    while (this.#reader.skip(",")) {
      isTuple = true;
      if (this.#reader.is("in") || this.#reader.is("=") || this.#reader.is(")") || this.#reader.isTagEnd) {
        break;
      }
      targets.push(this.#oneTarget());
    }
    const [first] = targets;
    return isTuple || first === undefined ? { type: "names", targets } : first;
  }

  #oneTarget(): Target {
    if (this.#reader.skip("(")) {
      const target = this.#reader.nested(() => this.#target());
      this.#reader.expect(")");
      return target;
    }
    const name = this.#reader.name();
    return name in constants ? this.#reader.fail(`cannot assign to '${name}'`) : { type: "name", name };
  }
}
