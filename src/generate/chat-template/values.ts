/** Python's values as chat templates see them: truth, equality, order, texts. */
import { pythonQuoted } from "./python-text.js";

/** A value that is not there; it may be printed and tested, but has no attributes. */
export class Undefined {
  /** What is missing, for the error when it is used. */
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

/** A floating-point number; integers are plain numbers. */
export class Float {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/** A text that counts as safe HTML (`safe`): what is added to it is escaped, in prompts as well. */
export class Markup {
  readonly value: string;

  constructor(value: string) {
    this.value = value;
  }
}

const entities = new Map([
  ["&", "&amp;"],
  ["<", "&lt;"],
  [">", "&gt;"],
  ['"', "&#34;"],
  ["'", "&#39;"],
]);

/** HTML of a value's text. */
export function escapeMarkup(value: Value): string {
  return value instanceof Markup
    ? value.value
    : text(value).replace(/[&<>"']/g, (character) => entities.get(character) ?? "");
}

export class Tuple extends Array<Value> {}

/** What `groupby` makes: a key, `grouper`, and the `list` of its items. */
export class Group extends Tuple {}

/** What `namespace()` makes: attributes that templates can set. */
export class Namespace {
  readonly values = new Map<Value, Value>();
}

/** Attributes that cannot be set, of something that may be called as well: those of `loop`. */
export class Attributes {
  readonly values: ReadonlyMap<Value, Value>;
  readonly callable: Callable | undefined;

  constructor(values: ReadonlyMap<Value, Value>, callable?: Callable) {
    this.values = values;
    this.callable = callable;
  }
}

export type Arguments = { readonly positional: readonly Value[]; readonly named: ReadonlyMap<string, Value> };

/** A macro, a method or a function. */
export class Callable {
  readonly call: (given: Arguments) => Value;

  constructor(call: (given: Arguments) => Value) {
    this.call = call;
  }
}

export type Dict = Map<Value, Value>;
export type Value =
  | null
  | boolean
  | number
  | string
  | Float
  | Markup
  | Undefined
  | Value[]
  | Dict
  | Namespace
  | Attributes
  | Callable;

/** A template did what Python does not allow, or refused. */
export class TemplateError extends Error {}

export function fail(message: string): never {
  throw new TemplateError(message);
}

/** The value of plain data. */
export function fromData(data: unknown): Value {
  if (data === undefined) {
    return new Undefined("it is undefined");
  }
  if (data === null || typeof data === "string" || typeof data === "boolean") {
    return data;
  }
  if (typeof data === "number") {
    return Number.isInteger(data) ? data : new Float(data);
  }
  if (Array.isArray(data)) {
    return data.map(fromData);
  }
  const entries = Object.entries(data).filter(([, value]) => value !== undefined);
  return new Map(entries.map(([key, value]): [Value, Value] => [key, fromData(value)]));
}

export function isTrue(value: Value): boolean {
  if (value instanceof Float) {
    return value.value !== 0;
  }
  if (value instanceof Markup) {
    return value.value !== "";
  }
  if (Array.isArray(value)) {
    return value.length > 0;
  }
  if (value instanceof Map) {
    return value.size > 0;
  }
  return value instanceof Undefined ? false : Boolean(value);
}

/** A number as one, or undefined. */
export function numeric(value: Value): number | undefined {
  if (value instanceof Float) {
    return value.value;
  }
  return typeof value === "number" || typeof value === "boolean" ? Number(value) : undefined;
}

export function isEqualValue(a: Value, b: Value): boolean {
  const [x, y] = [numeric(a), numeric(b)];
  if (x !== undefined || y !== undefined) {
    return x === y;
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    return (
      a instanceof Tuple === b instanceof Tuple &&
      a.length === b.length &&
      a.every((item, index) => isEqualValue(item, b[index] ?? null))
    );
  }
  if (a instanceof Map && b instanceof Map) {
    return (
      a.size === b.size &&
      [...a].every(([key, value]) => b.has(key) && isEqualValue(value, b.get(key) ?? null))
    );
  }
  if (a instanceof Markup || b instanceof Markup) {
    return (a instanceof Markup ? a.value : a) === (b instanceof Markup ? b.value : b);
  }
  return a === b || (a instanceof Undefined && b instanceof Undefined);
}

/** Less than zero if `a` comes first. */
export function compareValues(a: Value, b: Value): number {
  const [x, y] = [numeric(a), numeric(b)];
  if (x !== undefined && y !== undefined) {
    return x - y;
  }
  if (typeof a === "string" && typeof b === "string") {
    return compareTexts(a, b);
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    const index = a.findIndex((item, at) => at >= b.length || !isEqualValue(item, b[at] ?? null));
    return index < 0
      ? a.length - b.length
      : index >= b.length
        ? 1
        : compareValues(a[index] ?? null, b[index] ?? null);
  }
  return fail(`'<' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

/** By code points, as Python does. */
function compareTexts(a: string, b: string): number {
  const [x, y] = [Array.from(a), Array.from(b)];
  const index = x.findIndex((character, at) => character !== y[at]);
  return index < 0 ? x.length - y.length : (x[index]?.codePointAt(0) ?? 0) - (y[index]?.codePointAt(0) ?? -1);
}

/** What iterating over a value gives. */
export function iterate(value: Value): Value[] {
  if (Array.isArray(value)) {
    return value;
  }
  if (value instanceof Map) {
    return [...value.keys()];
  }
  if (typeof value === "string" || value instanceof Markup) {
    return Array.from(text(value));
  }
  return value instanceof Undefined ? [] : fail(`'${typeName(value)}' object is not iterable`);
}

export function lengthOf(value: Value): number {
  if (
    typeof value === "string" ||
    Array.isArray(value) ||
    value instanceof Markup ||
    value instanceof Map ||
    value instanceof Undefined
  ) {
    return iterate(value).length;
  }
  return fail(`object of type '${typeName(value)}' has no len()`);
}

export function typeName(value: Value): string {
  if (value === null) {
    return "NoneType";
  }
  if (value instanceof Float) {
    return "float";
  }
  if (Array.isArray(value)) {
    return value instanceof Tuple ? "tuple" : "list";
  }
  if (value instanceof Map) {
    return "dict";
  }
  if (value instanceof Undefined || value instanceof Markup) {
    return value instanceof Markup ? "Markup" : "Undefined";
  }
  return { string: "str", number: "int", boolean: "bool" }[typeof value as string] ?? "object";
}

/** Python's `str`. */
export function text(value: Value): string {
  if (value instanceof Markup) {
    return value.value;
  }
  return typeof value === "string" ? value : value instanceof Undefined ? "" : represent(value);
}

/** Python's `repr`. */
export function represent(value: Value): string {
  if (value === null) {
    return "None";
  }
  if (typeof value === "boolean") {
    return value ? "True" : "False";
  }
  if (typeof value === "string" || value instanceof Markup) {
    return typeof value === "string" ? pythonQuoted(value) : `Markup(${pythonQuoted(value.value)})`;
  }
  if (value instanceof Float) {
    return floatText(value.value);
  }
  if (Array.isArray(value)) {
    const items = value.map(represent).join(", ");
    return value instanceof Tuple ? `(${items}${value.length === 1 ? "," : ""})` : `[${items}]`;
  }
  if (value instanceof Map) {
    return `{${[...value].map(([key, item]) => `${represent(key)}: ${represent(item)}`).join(", ")}}`;
  }
  return typeof value === "number"
    ? `${value}`
    : value instanceof Undefined
      ? "Undefined"
      : `<${typeName(value)}>`;
}

function floatText(value: number): string {
  if (!Number.isFinite(value)) {
    return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  }
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  }
  const plain = Object.is(value, -0) ? "-0" : `${value}`;
  return plain.includes(".") ? plain : `${plain}.0`;
}

export interface JsonStyle {
  readonly indent?: number | string | undefined;
  readonly isAscii?: boolean;
  readonly separators?: readonly [item: string, key: string] | undefined;
  readonly sortKeys?: boolean;
}

/** Python's `json.dumps`. */
export function toJson(value: Value, style: JsonStyle, margin = "\n"): string {
  if (value === null || typeof value === "boolean") {
    return `${value}`;
  }
  if (typeof value === "string" || value instanceof Markup) {
    return jsonText(text(value), style);
  }
  if (typeof value === "number" || value instanceof Float) {
    return represent(value);
  }
  if (!Array.isArray(value) && !(value instanceof Map)) {
    return fail(`Object of type ${typeName(value)} is not JSON serializable`);
  }
  const step = typeof style.indent === "number" ? " ".repeat(style.indent) : style.indent;
  const inner = step === undefined ? "" : margin + step;
  const [comma, colon] = style.separators ?? [step === undefined ? ", " : ",", ": "];
  const entries = value instanceof Map ? [...value] : [];
  const sorted = style.sortKeys ? entries.sort(([a], [b]) => compareValues(a, b)) : entries;
  const parts = Array.isArray(value)
    ? value.map((item) => toJson(item, style, inner))
    : sorted.map(([key, item]) => `${jsonText(keyText(key), style)}${colon}${toJson(item, style, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const end = step === undefined ? "" : margin;
  return parts.length === 0 ? `${open}${close}` : `${open}${inner}${parts.join(comma + inner)}${end}${close}`;
}

function keyText(key: Value): string {
  return typeof key === "string" ? key : toJson(key, {});
}

function jsonText(value: string, { isAscii = false }: JsonStyle): string {
  const json = JSON.stringify(value);
  return isAscii
    ? json.replace(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    : json;
}
