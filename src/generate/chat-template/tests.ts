/** Jinja's tests. */
import {
  Callable,
  compareValues,
  Float,
  fail,
  isEqualValue,
  iterate,
  Markup,
  Namespace,
  numeric,
  typeName,
  Undefined,
  type Value,
} from "./values.js";

type Test = (value: Value, argument: Value) => boolean;

const isNumber = (value: Value) =>
  typeof value === "boolean" || typeof value === "number" || value instanceof Float;
const equals: Test = (value, other) => isEqualValue(value, other);
const differs: Test = (value, other) => !isEqualValue(value, other);
const less: Test = (value, other) => compareValues(value, other) < 0;
const lessOrEqual: Test = (value, other) => compareValues(value, other) <= 0;
const greater: Test = (value, other) => compareValues(value, other) > 0;
const greaterOrEqual: Test = (value, other) => compareValues(value, other) >= 0;
const isSequence = (value: Value) =>
  typeof value === "string" || Array.isArray(value) || value instanceof Map;

export const tests: Readonly<Record<string, Test>> = {
  "!=": differs,
  "<": less,
  "<=": lessOrEqual,
  "==": equals,
  ">": greater,
  ">=": greaterOrEqual,
  boolean: (value) => typeof value === "boolean",
  callable: (value) => value instanceof Callable || value instanceof Undefined,
  defined: (value) => !(value instanceof Undefined),
  divisibleby: (value, by) => whole(value) % whole(by) === 0,
  eq: equals,
  equalto: equals,
  escaped: (value) => value instanceof Markup,
  even: (value) => whole(value) % 2 === 0,
  false: (value) => value === false,
  float: (value) => value instanceof Float,
  ge: greaterOrEqual,
  greaterthan: greater,
  gt: greater,
  in: (value, container) => contains(container, value),
  integer: (value) => typeof value === "number",
  iterable: (value) => isSequence(value) || value instanceof Undefined,
  le: lessOrEqual,
  lessthan: less,
  lower: (value) =>
    typeof value === "string" && value === value.toLowerCase() && value !== value.toUpperCase(),
  lt: less,
  mapping: (value) => value instanceof Map,
  ne: differs,
  none: (value) => value === null,
  number: isNumber,
  odd: (value) => Math.abs(whole(value) % 2) === 1,
  sameas: (value, other) => value === other,
  sequence: (value) => isSequence(value) || value instanceof Undefined,
  string: (value) => typeof value === "string" || value instanceof Markup,
  true: (value) => value === true,
  undefined: (value) => value instanceof Undefined,
  upper: (value) =>
    typeof value === "string" && value === value.toUpperCase() && value !== value.toLowerCase(),
};

/** Python's `in`. */
export function contains(container: Value, value: Value): boolean {
  if (typeof container === "string") {
    return typeof value === "string"
      ? container.includes(value)
      : fail(`'in <string>' requires string as left operand, not ${typeName(value)}`);
  }
  if (container instanceof Map) {
    return container.has(value instanceof Float ? value.value : value);
  }
  if (container === null || container instanceof Namespace || isNumber(container)) {
    return fail(`argument of type '${typeName(container)}' is not iterable`);
  }
  return iterate(container).some((item) => isEqualValue(item, value));
}

function whole(value: Value): number {
  return numeric(value) ?? fail(`'${typeName(value)}' is not a number`);
}
