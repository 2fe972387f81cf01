/** Python's operators between two values. */
import { contains } from "./tests.js";
import { percentFormat } from "./text-filters.js";
import {
  compareValues,
  escapeMarkup,
  Float,
  fail,
  isEqualValue,
  Markup,
  numeric,
  Tuple,
  text,
  typeName,
  Undefined,
  type Value,
} from "./values.js";

/** The value of `left operator right`; `and` and `or` are not among them. */
export function operate(operator: string, left: Value, right: Value): Value {
  switch (operator) {
    case "==":
      return isEqualValue(left, right);
    case "!=":
      return !isEqualValue(left, right);
    case "<":
      return compareValues(left, right) < 0;
    case "<=":
      return compareValues(left, right) <= 0;
    case ">":
      return compareValues(left, right) > 0;
    case ">=":
      return compareValues(left, right) >= 0;
    case "in":
      return contains(right, left);
    case "not in":
      return !contains(right, left);
    case "~":
      return text(left) + text(right);
    default:
      return calculate(operator, left, right);
  }
}

function calculate(operator: string, left: Value, right: Value): Value {
  for (const value of [left, right]) {
    if (value instanceof Undefined) {
      fail(value.reason);
    }
  }
  const [a, b] = [numeric(left), numeric(right)];
  if (a !== undefined && b !== undefined) {
    const isFloat =
      left instanceof Float || right instanceof Float || operator === "/" || (operator === "**" && b < 0);
    const result = arithmetic(operator, a, b);
    return isFloat ? new Float(result) : result;
  }
  if (operator === "+") {
    if (typeof left === "string" && typeof right === "string") {
      return left + right;
    }
    if ((left instanceof Markup && isText(right)) || (isText(left) && right instanceof Markup)) {
      return new Markup(escapeMarkup(left) + escapeMarkup(right));
    }
    if (Array.isArray(left) && Array.isArray(right) && left instanceof Tuple === right instanceof Tuple) {
      return left instanceof Tuple ? Tuple.from([...left, ...right]) : [...left, ...right];
    }
  }
  if (operator === "*" && (a !== undefined || b !== undefined)) {
    const [what, times] = a === undefined ? [left, b] : [right, a];
    const count = Math.max(0, times ?? 0);
    if (typeof what === "string") {
      return what.repeat(count);
    }
    if (Array.isArray(what)) {
      return Array.from({ length: count }, () => what).flat();
    }
  }
  if (operator === "%" && typeof left === "string") {
    return percentFormat(left, right instanceof Tuple ? right : [right]);
  }
  return typeof left === "string" && operator === "+"
    ? fail(`can only concatenate str (not "${typeName(right)}") to str`)
    : fail(`unsupported operand type(s) for ${operator}: '${typeName(left)}' and '${typeName(right)}'`);
}

function isText(value: Value): boolean {
  return typeof value === "string" || value instanceof Markup;
}

function arithmetic(operator: string, a: number, b: number): number {
  if (b === 0 && ["/", "//", "%"].includes(operator)) {
    return fail("division by zero");
  }
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return a / b;
    case "//":
      return Math.floor(a / b);
    case "%":
      return a - b * Math.floor(a / b);
    case "**":
      return a ** b;
    default:
      return fail(`unknown operator ${operator}`);
  }
}
