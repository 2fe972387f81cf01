/**
 * JSON Schemas in one flat shape: references and `allOf` are resolved and merged, types are a list, constants are
 * enumerations. A keyword that cannot be kept is an error, so that none is silently ignored.
 */
import { UsageError } from "../../errors.js";

export type JsonType = "string" | "number" | "integer" | "boolean" | "null" | "object" | "array";
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A schema or its absence: true allows everything, false nothing. */
export type Schema = JsonSchema | boolean;

/** What a schema says, after merging. */
export interface SchemaShape {
  readonly types: ReadonlySet<JsonType> | undefined;
  readonly values: readonly unknown[] | undefined;
  readonly properties: ReadonlyMap<string, Schema>;
  readonly required: ReadonlySet<string>;
  readonly additionalProperties: Schema | undefined;
  readonly items: Schema | undefined;
  readonly prefixItems: readonly Schema[] | undefined;
  /** Lists of which one schema each must hold, too (`anyOf`, `oneOf`). */
  readonly choices: readonly SchemaChoice[];
  /** `minLength`, `maximum`, ... */
  readonly limits: Limits;
  readonly pattern: string | undefined;
  readonly format: string | undefined;
}

export interface SchemaChoice {
  readonly schemas: readonly Schema[];
  /** Whether it must be exactly one (`oneOf`). */
  readonly isExclusive: boolean;
}

const lowerLimits = ["minimum", "exclusiveMinimum", "minLength", "minItems"] as const;
const upperLimits = ["maximum", "exclusiveMaximum", "maxLength", "maxItems"] as const;
export type LimitName = (typeof lowerLimits)[number] | (typeof upperLimits)[number];

export type Limits = { [name in LimitName]?: number | undefined };

export const allTypes: readonly JsonType[] = [
  "string",
  "number",
  "integer",
  "boolean",
  "null",
  "object",
  "array",
];

/** Keywords that allow and forbid nothing, or are looked up by `$ref`. */
const annotations = new Set(
  "$schema $id id $comment $anchor $defs definitions title description default example examples deprecated readOnly writeOnly contentEncoding contentMediaType discriminator externalDocs xml strict".split(
    " ",
  ),
);
const keywords = new Set([
  ..."type enum const nullable properties required additionalProperties items prefixItems additionalItems anyOf oneOf allOf $ref pattern format".split(
    " ",
  ),
  ...lowerLimits,
  ...upperLimits,
]);
/** Keywords that say nothing with this value. */
const harmless: Readonly<Record<string, unknown>> = { uniqueItems: false, minProperties: 0 };

const maxDepth = 64;
const maxNodes = 20_000;
/** Schemas read, with those they refer to: a few lines of `$ref` can ask for more than there is time for. */
const maxReads = 100_000;
/** Lists of alternatives that hold together. */
const maxChoices = 16;
/** Characters of one schema after merging. */
const maxMergedLength = 500_000;

/** Bounds the size of a schema from a client. Throws a UsageError if it is too large or no schema. */
export function checkSize(schema: unknown): asserts schema is Schema {
  if (typeof schema !== "boolean" && !isObject(schema)) {
    throw new UsageError("a JSON Schema must be an object or a boolean.");
  }
  let nodes = 0;
  const count = (value: unknown, depth: number): void => {
    nodes++;
    if (depth > maxDepth || nodes > maxNodes) {
      throw new UsageError(
        `the schema has more than ${maxNodes} values or is more than ${maxDepth} deep; use a smaller one.`,
      );
    }
    if (typeof value === "object" && value !== null) {
      for (const inner of Object.values(value)) {
        count(inner, depth + 1);
      }
    }
  };
  count(schema, 0);
}

export const everything: SchemaShape = {
  types: undefined,
  values: undefined,
  properties: new Map(),
  required: new Set(),
  additionalProperties: undefined,
  items: undefined,
  prefixItems: undefined,
  choices: [],
  limits: {},
  pattern: undefined,
  format: undefined,
};

/** Shapes of the schemas within one document. */
export class SchemaReader {
  readonly #root: Schema;
  #reads = 0;

  constructor(root: Schema) {
    this.#root = root;
  }

  /**
   * The shape of a schema; undefined if it allows nothing.
   * Throws a UsageError for keywords that are not supported and references that lead nowhere.
   */
  shape(schema: Schema, depth = 0): SchemaShape | undefined {
    if (typeof schema === "boolean") {
      return schema ? everything : undefined;
    }
    if (++this.#reads > maxReads) {
      throw new UsageError(
        `the schema takes more than ${maxReads} steps to read, references followed; use a simpler one.`,
      );
    }
    if (depth > maxDepth) {
      throw new UsageError("the schema refers to itself in $ref or allOf without end; leave that out.");
    }
    let shape: SchemaShape | undefined = ownShape(schema);
    const parts = [...(schema.allOf === undefined ? [] : schemaList(schema.allOf, "allOf"))];
    if (schema.$ref !== undefined) {
      parts.push(this.resolve(schema.$ref));
    }
    for (const part of parts) {
      const other = this.shape(part, depth + 1);
      shape = shape && other && merge(shape, other);
    }
    return shape;
  }

  /** What a `$ref` refers to. */
  resolve(reference: unknown): Schema {
    const path = typeof reference === "string" && /^#(\/|$)/.test(reference) ? reference.slice(2) : undefined;
    let found: unknown = path === undefined ? undefined : this.#root;
    for (const part of path ? path.split("/") : []) {
      const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
      found =
        typeof found === "object" && found !== null && Object.hasOwn(found, key)
          ? Reflect.get(found, key)
          : undefined;
    }
    if (typeof found !== "boolean" && !isObject(found)) {
      throw new UsageError(
        `the schema's reference ${shorten(reference)} leads to no schema in it; only references like "#/$defs/name" are supported.`,
      );
    }
    return found;
  }
}

function ownShape(schema: JsonSchema): SchemaShape {
  for (const [keyword, value] of Object.entries(schema)) {
    if (!keywords.has(keyword) && !annotations.has(keyword) && !keyword.startsWith("x-")) {
      if (!Object.hasOwn(harmless, keyword) || harmless[keyword] !== value) {
        throw new UsageError(`the schema's keyword ${shorten(keyword)} is not supported; leave it out.`);
      }
    }
  }
  const { items, additionalItems, prefixItems, additionalProperties, pattern, format } = schema;
  const tuple = Array.isArray(items) ? items : prefixItems;
  const rest = Array.isArray(items) ? additionalItems : items;
  const choices: SchemaChoice[] = [];
  if (schema.anyOf !== undefined) {
    choices.push({ schemas: schemaList(schema.anyOf, "anyOf"), isExclusive: false });
  }
  if (schema.oneOf !== undefined) {
    choices.push({ schemas: schemaList(schema.oneOf, "oneOf"), isExclusive: true });
  }
  return {
    types: typesOf(schema),
    values: valuesOf(schema),
    properties: new Map(
      Object.entries(record(schema.properties, "properties")).map(([name, value]) => [
        name,
        asSchema(value, name),
      ]),
    ),
    required: new Set(textList(schema.required, "required")),
    additionalProperties:
      additionalProperties === undefined ? undefined : asSchema(additionalProperties, "additionalProperties"),
    items: rest === undefined ? undefined : asSchema(rest, "items"),
    prefixItems: tuple === undefined ? undefined : schemaList(tuple, "prefixItems"),
    choices,
    limits: limitsOf(schema),
    pattern: text(pattern, "pattern"),
    format: text(format, "format"),
  };
}

function typesOf({ type, nullable }: JsonSchema): Set<JsonType> | undefined {
  if (type === undefined) {
    return undefined;
  }
  const names = Array.isArray(type) ? type : [type];
  const wrong = names.find((name) => !allTypes.includes(name));
  if (wrong !== undefined) {
    throw new UsageError(`the schema has the type ${shorten(wrong)}; types are ${allTypes.join(", ")}.`);
  }
  return new Set([...names, ...(nullable === true ? ["null"] : [])] as JsonType[]);
}

function valuesOf(schema: JsonSchema): readonly unknown[] | undefined {
  const { enum: values } = schema;
  if (values !== undefined && !Array.isArray(values)) {
    throw new UsageError('the schema\'s "enum" must be a list.');
  }
  const constants = Object.hasOwn(schema, "const") ? [schema.const] : undefined;
  return values && constants ? common(values, constants) : (constants ?? values);
}

function limitsOf(schema: JsonSchema): Limits {
  const limits: Limits = {};
  for (const name of [...lowerLimits, ...upperLimits]) {
    const value = schema[name];
    if (value === undefined) {
      continue;
    }
    const isCount = name.endsWith("Length") || name.endsWith("Items");
    if (
      typeof value !== "number" ||
      !Number.isFinite(value) ||
      (isCount && (!Number.isInteger(value) || value < 0))
    ) {
      throw new UsageError(
        `the schema's "${name}" is ${shorten(value)}; it must be a number${isCount ? " of things" : ""}.`,
      );
    }
    limits[name] = value;
  }
  return limits;
}

/** Whether two JSON values are equal. */
export function isEqual(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

/** What both shapes allow; undefined if that is nothing. */
export function merge(a: SchemaShape, b: SchemaShape): SchemaShape | undefined {
  const types = mergeTypes(a.types, b.types);
  const properties = mergeProperties(a, b);
  if (types?.size === 0) {
    return undefined;
  }
  if (a.prefixItems && b.prefixItems) {
    throw new UsageError('the schema has "prefixItems" twice in what must hold together; leave one out.');
  }
  if (a.choices.length + b.choices.length > maxChoices) {
    throw new UsageError(
      `the schema has more than ${maxChoices} anyOf and oneOf that hold together; use a simpler one.`,
    );
  }
  const limits: Limits = { ...a.limits };
  for (const name of lowerLimits) {
    limits[name] = extreme(Math.max, a.limits[name], b.limits[name]);
  }
  for (const name of upperLimits) {
    limits[name] = extreme(Math.min, a.limits[name], b.limits[name]);
  }
  const [first, second] = a.prefixItems ? [a, b] : [b, a];
  return {
    types,
    values: a.values && b.values ? common(a.values, b.values) : (a.values ?? b.values),
    properties,
    required: new Set([...a.required, ...b.required]),
    additionalProperties: both(a.additionalProperties, b.additionalProperties),
    items: first.prefixItems ? both(first.items, second.items) : both(a.items, b.items),
    prefixItems: first.prefixItems?.map((item) => both(item, second.items) ?? item),
    choices: [...a.choices, ...b.choices],
    limits,
    pattern: same(a.pattern, b.pattern, "pattern"),
    format: same(a.format, b.format, "format"),
  };
}

function mergeTypes(a: SchemaShape["types"], b: SchemaShape["types"]): ReadonlySet<JsonType> | undefined {
  if (!a || !b) {
    return a ?? b;
  }
  const allows = (types: ReadonlySet<JsonType>, type: JsonType) =>
    types.has(type) || (type === "integer" && types.has("number"));
  return new Set([...a, ...b].filter((type) => allows(a, type) && allows(b, type)));
}

/** A property that one side does not name is bound by that side's `additionalProperties`. */
function mergeProperties(a: SchemaShape, b: SchemaShape): Map<string, Schema> {
  const names = new Set([...a.properties.keys(), ...b.properties.keys()]);
  const of = (shape: SchemaShape, name: string) => shape.properties.get(name) ?? shape.additionalProperties;
  return new Map(Array.from(names, (name) => [name, both(of(a, name), of(b, name)) ?? true]));
}

function both(a: Schema | undefined, b: Schema | undefined): Schema | undefined {
  if (a === undefined || b === undefined) {
    return a ?? b;
  }
  if (schemaKey(a) === schemaKey(b)) {
    return a;
  }
  return a === false || b === false ? false : { allOf: [a, b] };
}

function same(a: string | undefined, b: string | undefined, keyword: string): string | undefined {
  if (a !== undefined && b !== undefined && a !== b) {
    throw new UsageError(`the schema has two different "${keyword}" that must hold together; leave one out.`);
  }
  return a ?? b;
}

function extreme(choose: (a: number, b: number) => number, a?: number, b?: number): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : choose(a, b);
}

function common(a: readonly unknown[], b: readonly unknown[]): unknown[] {
  const texts = new Set(b.map(canonical));
  return a.filter((value) => texts.has(canonical(value)));
}

/** Equal for equal schemas. Throws a UsageError if merging has made one grow without end. */
export function schemaKey(schema: Schema): string {
  const key = canonical(schema);
  if (key.length > maxMergedLength) {
    throw new UsageError("the schema's allOf and $ref make it grow without end; use a simpler one.");
  }
  return key;
}

/** Equal for equal JSON values. */
function canonical(value: unknown): string {
  if (typeof value !== "object" || value === null) {
    return JSON.stringify(value) ?? "null";
  }
  if (Array.isArray(value)) {
    return `[${value.map(canonical).join()}]`;
  }
  const entries = Object.entries(value).sort(([x], [y]) => (x < y ? -1 : 1));
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`).join()}}`;
}

function schemaList(value: unknown, keyword: string): Schema[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw new UsageError(`the schema's "${keyword}" must be a list of schemas.`);
  }
  return value.map((schema) => asSchema(schema, keyword));
}

function asSchema(value: unknown, keyword: string): Schema {
  if (typeof value === "boolean" || isObject(value)) {
    return value;
  }
  throw new UsageError(`the schema has ${shorten(value)} where a schema is expected (${shorten(keyword)}).`);
}

function record(value: unknown, keyword: string): JsonSchema {
  if (value === undefined || isObject(value)) {
    return value ?? {};
  }
  throw new UsageError(`the schema's "${keyword}" must be an object.`);
}

function textList(value: unknown, keyword: string): string[] {
  if (value === undefined || (Array.isArray(value) && value.every((item) => typeof item === "string"))) {
    return value ?? [];
  }
  throw new UsageError(`the schema's "${keyword}" must be a list of names.`);
}

function text(value: unknown, keyword: string): string | undefined {
  if (value === undefined || typeof value === "string") {
    return value;
  }
  throw new UsageError(`the schema's "${keyword}" must be a string.`);
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A stranger's value in a message. */
function shorten(value: unknown): string {
  return (JSON.stringify(value) ?? "undefined").slice(0, 80);
}
