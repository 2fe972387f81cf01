/** The values of a template's expressions. */
import type { CallArguments, Comparison, Expression, Named } from "./ast.js";
import { attributeOf, elementOf, sliceOf } from "./attributes.js";
import { applyFilter, applyTest } from "./filters.js";
import { operate } from "./operators.js";
import type { Scope } from "./scope.js";
import {
  type Arguments,
  Attributes,
  Callable,
  fail,
  isTrue,
  iterate,
  numeric,
  Tuple,
  text,
  typeName,
  Undefined,
  type Value,
} from "./values.js";

/** The value of an expression. Throws a TemplateError where Python would raise an error. */
export function evaluateExpression(node: Expression, scope: Scope): Value {
  switch (node.type) {
    case "constant":
      return node.value;
    case "name":
      return scope.get(node.name);
    case "list":
      return node.items.map((item) => evaluateExpression(item, scope));
    case "tuple":
      return Tuple.from(node.items.map((item) => evaluateExpression(item, scope)));
    case "dict":
      return new Map(
        node.entries.map(([key, value]): [Value, Value] => [
          evaluateExpression(key, scope),
          evaluateExpression(value, scope),
        ]),
      );
    case "attribute":
      return attributeOf(evaluateExpression(node.object, scope), node.name);
    case "element":
      return elementOf(evaluateExpression(node.object, scope), evaluateExpression(node.key, scope));
    case "slice": {
      const bound = (side: Expression | undefined) =>
        side === undefined ? null : evaluateExpression(side, scope);
      return sliceOf(
        evaluateExpression(node.object, scope),
        bound(node.start),
        bound(node.stop),
        bound(node.step),
      );
    }
    case "call":
      return callValue(evaluateExpression(node.callee, scope), argumentsOf(node.arguments, scope));
    case "filter":
      return filtered(evaluateExpression(node.operand, scope), node.filter, scope);
    case "test":
      return applyTest(
        node.test.name,
        evaluateExpression(node.operand, scope),
        argumentsOf(node.test.arguments, scope),
      );
    case "not":
      return !isTrue(evaluateExpression(node.operand, scope));
    case "+":
    case "-":
      return operate(
        "*",
        node.type === "-" ? -1 : 1,
        numericOperand(evaluateExpression(node.operand, scope)),
      );
    case "and":
    case "or": {
      const left = evaluateExpression(node.left, scope);
      return isTrue(left) === (node.type === "and") ? evaluateExpression(node.right, scope) : left;
    }
    case "binary":
      return operate(
        node.operator,
        evaluateExpression(node.left, scope),
        evaluateExpression(node.right, scope),
      );
    case "comparison":
      return compared(node.first, node.rest, scope);
    case "conditional":
      if (isTrue(evaluateExpression(node.condition, scope))) {
        return evaluateExpression(node.value, scope);
      }
      return node.otherwise
        ? evaluateExpression(node.otherwise, scope)
        : new Undefined("the inline if-expression evaluated to false");
  }
}

/** A chain holds if each of its comparisons does; what follows one that does not is not looked at. */
function compared(first: Expression, rest: readonly Comparison[], scope: Scope): Value {
  let left = evaluateExpression(first, scope);
  let holds: Value = true;
  for (const { operator, operand } of rest) {
    const right = evaluateExpression(operand, scope);
    holds = operate(operator, left, right);
    if (!isTrue(holds)) {
      break;
    }
    left = right;
  }
  return holds;
}

function numericOperand(value: Value): Value {
  if (value instanceof Undefined) {
    return fail(value.reason);
  }
  return numeric(value) === undefined ? fail(`bad operand type for unary -: '${typeName(value)}'`) : value;
}

export function filtered(value: Value, filter: Named, scope: Scope): Value {
  return applyFilter(filter.name, value, argumentsOf(filter.arguments, scope));
}

export function argumentsOf({ positional, named }: CallArguments, scope: Scope): Arguments {
  const entries = named.flatMap(({ name, value: expression }): (readonly [string, Value])[] => {
    const value = evaluateExpression(expression, scope);
    if (name !== undefined) {
      return [[name, value]];
    }
    return value instanceof Map
      ? Array.from(value, ([key, item]) => [text(key), item] as const)
      : fail("argument after ** must be a mapping");
  });
  return {
    positional: positional.flatMap((given): readonly Value[] =>
      given.type === "spread"
        ? iterate(evaluateExpression(given.value, scope))
        : [evaluateExpression(given, scope)],
    ),
    named: new Map(entries),
  };
}

export function callValue(called: Value, given: Arguments): Value {
  if (called instanceof Undefined) {
    return fail(called.reason);
  }
  const callable = called instanceof Attributes ? called.callable : called;
  return callable instanceof Callable
    ? callable.call(given)
    : fail(`'${typeName(called)}' object is not callable`);
}
