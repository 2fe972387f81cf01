/**
 * Renders the syntax tree of a chat template as Python's jinja2 does with transformers' settings. The tree comes from
 * @huggingface/jinja, whose own interpreter has JavaScript's values: no None that prints, keys that hide methods, no
 * scopes, and its classes cannot be extended from outside.
 */
import { as, type Identifier, type Node } from "./ast.js";
import { attributeOf, elementOf, sliceOf } from "./attributes.js";
import { applyFilter, applyTest } from "./filters.js";
import { globalValues } from "./globals.js";
import { operate } from "./operators.js";
import { Scope } from "./scope.js";
import {
  type Arguments,
  Attributes,
  Callable,
  Float,
  fail,
  fromData,
  isEqualValue,
  isTrue,
  iterate,
  Namespace,
  numeric,
  Tuple,
  text,
  typeName,
  Undefined,
  type Value,
} from "./values.js";

class Break extends Error {}
class Continue extends Error {}

/** Renders a parsed template with variables. Throws a TemplateError if it refuses them or cannot use them. */
export function renderTemplate(
  program: Node,
  variables: Readonly<Record<string, unknown>>,
  now = new Date(),
): string {
  const scope = new Scope(undefined, globalValues(now));
  for (const [name, value] of Object.entries(variables)) {
    scope.set(name, fromData(value));
  }
  return renderAll(as(program, "Program").body, scope);
}

function renderAll(nodes: readonly Node[], scope: Scope): string {
  let result = "";
  for (const node of nodes) {
    result += render(node, scope);
  }
  return result;
}

/** The text of a statement, or of an expression's value. */
function render(node: Node, scope: Scope): string {
  switch (node.type) {
    case "Comment":
      return "";
    case "Set":
      return assign(as(node, "Set"), scope);
    case "If": {
      const { test, body, alternate } = as(node, "If");
      return renderAll(isTrue(evaluate(test, scope)) ? body : alternate, scope);
    }
    case "For":
      return renderLoop(as(node, "For"), scope);
    case "Macro": {
      const { name, args, body } = as(node, "Macro");
      scope.set(name.value, macro(name.value, args, body, scope));
      return "";
    }
    case "CallStatement": {
      const { call, callerArgs, body } = as(node, "CallStatement");
      const caller = macro("caller", callerArgs ?? [], body, scope);
      const { positional, named } = argumentsOf(call.args, scope);
      return text(
        callValue(evaluate(call.callee, scope), {
          positional,
          named: new Map([...named, ["caller", caller]]),
        }),
      );
    }
    case "FilterStatement": {
      const { filter, body } = as(node, "FilterStatement");
      return text(filtered(renderAll(body, new Scope(scope)), filter, scope));
    }
    case "Break":
      throw new Break();
    case "Continue":
      throw new Continue();
    default:
      return text(evaluate(node, scope));
  }
}

function assign(
  { assignee, value, body }: { assignee: Node; value: Node | null; body: Node[] },
  scope: Scope,
): string {
  const assigned = value === null ? renderAll(body, new Scope(scope)) : evaluate(value, scope);
  if (assignee.type === "MemberExpression") {
    const { object, property } = as(assignee, "MemberExpression");
    const target = evaluate(object, scope);
    if (!(target instanceof Namespace)) {
      return fail("cannot assign attribute on non-namespace object");
    }
    target.values.set((property as Identifier).value, assigned);
  } else {
    bind(assignee, assigned, scope);
  }
  return "";
}

function bind(target: Node, value: Value, scope: Scope): void {
  if (target.type !== "TupleLiteral") {
    scope.set(as(target, "Identifier").value, value);
    return;
  }
  const targets = as(target, "TupleLiteral").value;
  const items = iterate(value);
  if (items.length !== targets.length) {
    fail(items.length < targets.length ? "not enough values to unpack" : "too many values to unpack");
  }
  for (const [index, inner] of targets.entries()) {
    bind(inner, items[index] ?? null, scope);
  }
}

function renderLoop(
  {
    loopvar,
    iterable,
    body,
    defaultBlock,
  }: { loopvar: Node; iterable: Node; body: Node[]; defaultBlock: Node[] },
  scope: Scope,
): string {
  const isFiltered = iterable.type === "SelectExpression";
  const source = isFiltered ? as(iterable, "SelectExpression").lhs : iterable;
  const all = [...iterate(evaluate(source, scope))];
  const items = isFiltered
    ? all.filter((item) => {
        const inner = new Scope(scope);
        bind(loopvar, item, inner);
        return isTrue(evaluate(as(iterable, "SelectExpression").test, inner));
      })
    : all;
  let result = "";
  let changed: Value | undefined;
  for (const [index, item] of items.entries()) {
    const inner = new Scope(scope);
    bind(loopvar, item, inner);
    inner.set(
      "loop",
      loopVariable(items, index, (value) => {
        const isChanged = changed === undefined || !isEqualValue(changed, value);
        changed = value;
        return isChanged;
      }),
    );
    const output = renderStoppable(body, inner);
    result += output.text;
    if (output.isBroken) {
      break;
    }
  }
  return items.length === 0 ? renderAll(defaultBlock, new Scope(scope)) : result;
}

/** A round of a loop; what it wrote before `break` or `continue` stays. */
function renderStoppable(body: readonly Node[], scope: Scope): { text: string; isBroken: boolean } {
  const output: Output = { text: "" };
  try {
    renderInto(output, body, scope);
  } catch (error) {
    if (error instanceof Break || error instanceof Continue) {
      return { text: output.text, isBroken: error instanceof Break };
    }
    throw error;
  }
  return { text: output.text, isBroken: false };
}

interface Output {
  text: string;
}

/** Like `renderAll`, but keeps what is written before a loop's statement is left through conditions. */
function renderInto(output: Output, nodes: readonly Node[], scope: Scope): void {
  for (const node of nodes) {
    if (node.type === "If") {
      const { test, body, alternate } = as(node, "If");
      renderInto(output, isTrue(evaluate(test, scope)) ? body : alternate, scope);
    } else {
      output.text += render(node, scope);
    }
  }
}

function loopVariable(
  items: readonly Value[],
  index: number,
  isChanged: (value: Value) => boolean,
): Attributes {
  const rest = items.length - index;
  return new Attributes(
    new Map<string, Value>([
      ["index", index + 1],
      ["index0", index],
      ["revindex", rest],
      ["revindex0", rest - 1],
      ["first", index === 0],
      ["last", rest === 1],
      ["length", items.length],
      ["depth", 1],
      ["previtem", index > 0 ? (items[index - 1] ?? null) : new Undefined("there is no previous item")],
      ["nextitem", rest > 1 ? (items[index + 1] ?? null) : new Undefined("there is no next item")],
      ["cycle", new Callable(({ positional }) => positional[index % positional.length] ?? null)],
      ["changed", new Callable(({ positional }) => isChanged(Tuple.from(positional)))],
    ]),
  );
}

function macro(name: string, parameters: readonly Node[], body: readonly Node[], scope: Scope): Callable {
  return new Callable(({ positional, named }) => {
    const inner = new Scope(scope);
    const rest = new Map(named);
    for (const [index, parameter] of parameters.entries()) {
      const isDefaulted = parameter.type === "KeywordArgumentExpression";
      const { value: key } = isDefaulted
        ? as(parameter, "KeywordArgumentExpression").key
        : as(parameter, "Identifier");
      const given = index < positional.length ? positional[index] : rest.get(key);
      rest.delete(key);
      const otherwise = () =>
        isDefaulted
          ? evaluate(as(parameter, "KeywordArgumentExpression").value, inner)
          : new Undefined(`parameter '${key}' was not provided`);
      inner.set(key, given === undefined ? otherwise() : given);
    }
    inner.set("caller", rest.get("caller") ?? new Undefined("No caller defined"));
    rest.delete("caller");
    inner.set("varargs", Tuple.from(positional.slice(parameters.length)));
    inner.set("kwargs", new Map(rest));
    const excess = positional.length > parameters.length || rest.size > 0;
    if (excess && !mentionsExtra(body)) {
      fail(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
    }
    return renderAll(body, inner);
  });
}

/** Whether a macro's body uses `varargs` or `kwargs`, without which it takes no further arguments. */
function mentionsExtra(value: unknown): boolean {
  if (Array.isArray(value)) {
    return value.some(mentionsExtra);
  }
  if (typeof value !== "object" || value === null) {
    return false;
  }
  const { type, value: name } = value as { type?: unknown; value?: unknown };
  return (
    (type === "Identifier" && (name === "varargs" || name === "kwargs")) ||
    Object.values(value).some(mentionsExtra)
  );
}

function evaluate(node: Node, scope: Scope): Value {
  switch (node.type) {
    case "IntegerLiteral":
      return as(node, "IntegerLiteral").value;
    case "FloatLiteral":
      return new Float(as(node, "FloatLiteral").value);
    case "StringLiteral":
      return as(node, "StringLiteral").value;
    case "ArrayLiteral":
      return as(node, "ArrayLiteral").value.map((item) => evaluate(item, scope));
    case "TupleLiteral":
      return Tuple.from(as(node, "TupleLiteral").value.map((item) => evaluate(item, scope)));
    case "ObjectLiteral":
      return new Map(
        Array.from(as(node, "ObjectLiteral").value, ([key, value]): [Value, Value] => [
          evaluate(key, scope),
          evaluate(value, scope),
        ]),
      );
    case "Identifier":
      return scope.get(as(node, "Identifier").value);
    case "MemberExpression":
      return member(as(node, "MemberExpression"), scope);
    case "CallExpression": {
      const { callee, args } = as(node, "CallExpression");
      const called = evaluate(callee, scope);
      return callValue(called, argumentsOf(args, scope));
    }
    case "UnaryExpression": {
      const { operator, argument } = as(node, "UnaryExpression");
      const value = evaluate(argument, scope);
      return operator.value === "not"
        ? !isTrue(value)
        : operate("*", operator.value === "-" ? -1 : 1, numericOperand(value));
    }
    case "BinaryExpression":
      return binary(as(node, "BinaryExpression"), scope);
    case "FilterExpression": {
      const { operand, filter } = as(node, "FilterExpression");
      return filtered(evaluate(operand, scope), filter, scope);
    }
    case "TestExpression": {
      const { operand, negate, test } = as(node, "TestExpression");
      const passes = tested(evaluate(operand, scope), test, scope);
      return negate ? !passes : passes;
    }
    case "SelectExpression": {
      const { lhs, test } = as(node, "SelectExpression");
      return isTrue(evaluate(test, scope))
        ? evaluate(lhs, scope)
        : new Undefined("the inline if-expression evaluated to false");
    }
    case "Ternary": {
      const { condition, trueExpr, falseExpr } = as(node, "Ternary");
      return evaluate(isTrue(evaluate(condition, scope)) ? trueExpr : falseExpr, scope);
    }
    default:
      return fail(`${node.type} is not supported`);
  }
}

function numericOperand(value: Value): Value {
  return numeric(value) === undefined ? fail(`bad operand type for unary -: '${typeName(value)}'`) : value;
}

function binary(
  { operator, left, right }: { operator: { value: string }; left: Node; right: Node },
  scope: Scope,
): Value {
  const first = evaluate(left, scope);
  if (operator.value === "and") {
    return isTrue(first) ? evaluate(right, scope) : first;
  }
  if (operator.value === "or") {
    return isTrue(first) ? first : evaluate(right, scope);
  }
  return operate(operator.value, first, evaluate(right, scope));
}

function member(
  { object, property, computed }: { object: Node; property: Node; computed: boolean },
  scope: Scope,
): Value {
  const owner = evaluate(object, scope);
  if (property.type === "SliceExpression") {
    const { start, stop, step } = as(property, "SliceExpression");
    const bound = (node: Node | undefined) => (node === undefined ? null : evaluate(node, scope));
    return sliceOf(owner, bound(start), bound(stop), bound(step));
  }
  if (computed) {
    return elementOf(owner, evaluate(property, scope));
  }
  return property.type === "Identifier"
    ? attributeOf(owner, as(property, "Identifier").value)
    : elementOf(owner, as(property, "IntegerLiteral").value);
}

function filtered(value: Value, filter: Node, scope: Scope): Value {
  if (filter.type === "CallExpression") {
    const { callee, args } = as(filter, "CallExpression");
    return applyFilter(as(callee, "Identifier").value, value, argumentsOf(args, scope));
  }
  return applyFilter(as(filter, "Identifier").value, value, { positional: [], named: new Map() });
}

function tested(value: Value, test: Node, scope: Scope): boolean {
  if (test.type === "CallExpression") {
    const { callee, args } = as(test, "CallExpression");
    return applyTest(as(callee, "Identifier").value, value, argumentsOf(args, scope));
  }
  return applyTest(as(test, "Identifier").value, value, { positional: [], named: new Map() });
}

function argumentsOf(nodes: readonly Node[], scope: Scope): Arguments {
  const positional: Value[] = [];
  const named = new Map<string, Value>();
  for (const node of nodes) {
    if (node.type === "KeywordArgumentExpression") {
      const { key, value } = as(node, "KeywordArgumentExpression");
      named.set(key.value, evaluate(value, scope));
    } else if (node.type === "SpreadExpression") {
      positional.push(...iterate(evaluate(as(node, "SpreadExpression").argument, scope)));
    } else if (node.type === "KeywordSpreadExpression") {
      const spread = evaluate(as(node, "KeywordSpreadExpression").argument, scope);
      for (const [key, value] of spread instanceof Map
        ? spread
        : fail("argument after ** must be a mapping")) {
        named.set(text(key), value);
      }
    } else {
      positional.push(evaluate(node, scope));
    }
  }
  return { positional, named };
}

function callValue(called: Value, given: Arguments): Value {
  if (called instanceof Undefined) {
    return fail(called.reason);
  }
  return called instanceof Callable
    ? called.call(given)
    : fail(`'${typeName(called)}' object is not callable`);
}
