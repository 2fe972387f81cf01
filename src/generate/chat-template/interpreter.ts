/** Renders the syntax tree of a chat template as Python's jinja2 does with transformers' settings. */
import type { Body, Expression, Loop, Named, Parameter, Statement, Target } from "./ast.js";
import { argumentsOf, callValue, evaluateExpression, filtered } from "./expressions.js";
import { globalValues } from "./globals.js";
import { LoopRound } from "./loop.js";
import { Scope } from "./scope.js";
import {
  Callable,
  fail,
  fromData,
  isTrue,
  iterate,
  Namespace,
  TemplateError,
  Tuple,
  text,
  Undefined,
  type Value,
} from "./values.js";

/** What is written, piece by piece, so that what stands before a `break` stays. */
type Write = (text: string) => void;

/** How a body ended: at its end, or in a statement of the loop around it. */
type Ending = "end" | "break" | "continue";

/** Renders a template with variables. Throws a TemplateError if it refuses them or cannot use them. */
export function renderTemplate(
  template: Body,
  variables: Readonly<Record<string, unknown>>,
  now = new Date(),
): string {
  const scope = new Scope(undefined, globalValues(now));
  for (const [name, value] of Object.entries(variables)) {
    scope.set(name, fromData(value));
  }
  return rendered(template, scope);
}

function rendered(body: Body, scope: Scope): string {
  let result = "";
  render(body, scope, (text) => {
    result += text;
  });
  return result;
}

function render(body: Body, scope: Scope, write: Write): Ending {
  for (const statement of body) {
    const ending = renderStatement(statement, scope, write);
    if (ending !== "end") {
      return ending;
    }
  }
  return "end";
}

function renderStatement(node: Statement, scope: Scope, write: Write): Ending {
  switch (node.type) {
    case "text":
      write(node.text);
      return "end";
    case "print":
      write(text(evaluateExpression(node.value, scope)));
      return "end";
    case "if":
      return render(
        isTrue(evaluateExpression(node.condition, scope)) ? node.body : node.otherwise,
        scope,
        write,
      );
    case "for":
      renderLoop(node, evaluateExpression(node.iterable, scope), scope, write, 1);
      return "end";
    case "break":
    case "continue":
      return node.type;
    case "set":
      assign(node.target, evaluateExpression(node.value, scope), scope);
      return "end";
    case "set block": {
      const whole = rendered(node.body, new Scope(scope));
      assign(node.target, allFiltered(whole, node.filters, scope), scope);
      return "end";
    }
    case "macro":
      scope.set(node.name, macro(node.name, node.parameters, node.body, scope));
      return "end";
    case "call block": {
      const { positional, named } = argumentsOf(node.arguments, scope);
      const caller = macro("caller", node.parameters, node.body, scope);
      const given = { positional, named: new Map<string, Value>([...named, ["caller", caller]]) };
      write(text(callValue(evaluateExpression(node.callee, scope), given)));
      return "end";
    }
    case "filter block": {
      const whole = rendered(node.body, new Scope(scope));
      write(text(allFiltered(whole, node.filters, scope)));
      return "end";
    }
    case "with": {
      const inner = new Scope(scope);
      for (const [target, value] of node.bindings) {
        assign(target, evaluateExpression(value, scope), inner);
      }
      return render(node.body, inner, write);
    }
  }
}

function allFiltered(value: Value, filters: readonly Named[], scope: Scope): Value {
  let result = value;
  for (const filter of filters) {
    result = filtered(result, filter, scope);
  }
  return result;
}

function assign(target: Target, value: Value, scope: Scope): void {
  switch (target.type) {
    case "name":
      scope.set(target.name, value);
      return;
    case "attribute": {
      const namespace = scope.get(target.namespace);
      if (!(namespace instanceof Namespace)) {
        throw new TemplateError("cannot assign attribute on non-namespace object");
      }
      namespace.values.set(target.name, value);
      return;
    }
    case "names": {
      const items = iterate(value);
      const wanted = target.targets.length;
      if (items.length !== wanted) {
        fail(items.length < wanted ? "not enough values to unpack" : "too many values to unpack");
      }
      for (const [index, inner] of target.targets.entries()) {
        assign(inner, items[index] ?? null, scope);
      }
    }
  }
}

function renderLoop(loop: Loop, iterable: Value, scope: Scope, write: Write, depth: number): void {
  const items = iterate(iterable).filter((item) => passes(loop, item, scope));
  const again = new Callable(({ positional }) => {
    let result = "";
    const append = (text: string) => {
      result += text;
    };
    renderLoop(loop, positional[0] ?? null, scope, append, depth + 1);
    return result;
  });
  const round = new LoopRound(items, depth, loop.isRecursive ? again : undefined);
  for (const [index, item] of items.entries()) {
    const inner = new Scope(scope);
    assign(loop.target, item, inner);
    inner.set("loop", round.at(index));
    if (render(loop.body, inner, write) === "break") {
      break;
    }
  }
  if (items.length === 0) {
    render(loop.otherwise, new Scope(scope), write);
  }
}

function passes({ target, condition }: Loop, item: Value, scope: Scope): boolean {
  if (condition === undefined) {
    return true;
  }
  const inner = new Scope(scope);
  assign(target, item, inner);
  return isTrue(evaluateExpression(condition, inner));
}

function macro(name: string, parameters: readonly Parameter[], body: Body, scope: Scope): Callable {
  const takesMore = mentionsExtra(body);
  return new Callable(({ positional, named }) => {
    const inner = new Scope(scope);
    const rest = new Map(named);
    for (const [index, parameter] of parameters.entries()) {
      const given = index < positional.length ? positional[index] : rest.get(parameter.name);
      rest.delete(parameter.name);
      inner.set(parameter.name, given === undefined ? missing(parameter, inner) : given);
    }
    inner.set("caller", rest.get("caller") ?? new Undefined("No caller defined"));
    rest.delete("caller");
    inner.set("varargs", Tuple.from(positional.slice(parameters.length)));
    inner.set("kwargs", new Map(rest));
    if ((positional.length > parameters.length || rest.size > 0) && !takesMore) {
      fail(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
    }
    return rendered(body, inner);
  });
}

function missing({ name, otherwise }: Parameter, scope: Scope): Value {
  return otherwise
    ? evaluateExpression(otherwise, scope)
    : new Undefined(`parameter '${name}' was not provided`);
}

/** Whether a macro's body uses `varargs` or `kwargs`, without which it takes no further arguments. */
function mentionsExtra(part: unknown): boolean {
  if (Array.isArray(part)) {
    return part.some(mentionsExtra);
  }
  if (typeof part !== "object" || part === null) {
    return false;
  }
  const { type, name } = part as Partial<Extract<Expression, { type: "name" }>>;
  return (
    (type === "name" && (name === "varargs" || name === "kwargs")) || Object.values(part).some(mentionsExtra)
  );
}
