/**
 * GBNF of the JSON texts that a JSON Schema allows. Every text of the grammar validates; not every valid text is in
 * it: properties come in the schema's order, further ones only where `additionalProperties` or an object without
 * `properties` asks for them. What cannot be kept is refused, never ignored.
 */
import { UsageError } from "../../errors.js";
import { checkGbnf } from "./gbnf-check.js";
import { integersBetween, numbersBetween } from "./numbers.js";
import { keyRuleExcept, membersRule } from "./objects.js";
import { GrammarRules, literal, oneOf, repeated } from "./rules.js";
import { areDisjoint } from "./schema-disjoint.js";
import {
  allTypes,
  checkSize,
  everything,
  isEqual,
  type JsonType,
  merge,
  type Schema,
  SchemaReader,
  type SchemaShape,
  schemaKey,
} from "./schema-shape.js";
import { inferredTypes, typeOfValue } from "./schema-types.js";
import { stringRule } from "./strings.js";

/** Schemas within schemas, references followed. */
const maxDepth = 150;
/** Combinations of the alternatives of `anyOf` and `oneOf` that hold together. */
const maxCombinations = 2000;
/** Items of an array at most if the schema allows more. */
const manyItems = 1000;

/** White space between the parts of a JSON text: none, a space, or a new line with its indentation. */
const whiteSpace = '(" " | "\\n" [ \\t]{0,20})?';

/** Matches nothing. */
const impossible = "[^\\U00000001-\\U0010FFFF]";

/**
 * The grammar, in GBNF, of the JSON texts that validate against a schema. The supported keywords are `type`,
 * `nullable`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, `prefixItems`, `minItems`,
 * `maxItems`, `minLength`, `maxLength`, `pattern`, `format`, `minimum`, `maximum`, `exclusiveMinimum`,
 * `exclusiveMaximum`, `anyOf`, `oneOf` (of schemas that visibly exclude each other), `allOf`, and `$ref` within the
 * schema; annotations are ignored.
 * Throws a UsageError that names what is not supported, or if the schema is too large or allows nothing.
 */
export function schemaToGrammar(schema: unknown): string {
  const rules = new GrammarRules();
  const gbnf = rules.toGbnf(addSchema(rules, schema));
  checkGbnf(gbnf);
  return gbnf;
}

/**
 * Adds the rules of a schema to a larger grammar.
 * @returns the name of the rule that matches the whole JSON text
 * Throws what `schemaToGrammar` throws.
 */
export function addSchema(rules: GrammarRules, schema: unknown): string {
  checkSize(schema);
  const name = new SchemaConverter(rules, schema).rule(schema);
  if (name === undefined) {
    throw new UsageError("the schema allows no value at all; change it.");
  }
  return name;
}

class SchemaConverter {
  readonly #rules: GrammarRules;
  readonly #reader: SchemaReader;
  /** Of each schema its rule, also while that is being made; undefined if nothing matches. */
  readonly #known = new Map<string, string | undefined>();
  readonly #space: string;
  #depth = 0;
  #combinations = 0;

  constructor(rules: GrammarRules, root: Schema) {
    this.#rules = rules;
    this.#reader = new SchemaReader(root);
    this.#space = rules.add("space", whiteSpace);
  }

  /** The name of the rule of a schema; undefined if nothing matches. */
  rule(schema: Schema, hint = "value"): string | undefined {
    const key = schemaKey(schema);
    if (this.#known.has(key)) {
      return this.#known.get(key);
    }
    if (++this.#depth > maxDepth) {
      throw new UsageError(
        `the schema is more than ${maxDepth} deep, references followed; use a simpler one.`,
      );
    }
    const name = this.#rules.reserve(hint);
    this.#known.set(key, name);
    const shape = this.#reader.shape(schema);
    const body = shape && this.#body(shape);
    this.#rules.define(name, body ?? impossible);
    this.#known.set(key, body === undefined ? undefined : name);
    this.#depth--;
    return body === undefined ? undefined : name;
  }

  #body(shape: SchemaShape): string | undefined {
    const [choice, ...choices] = shape.choices;
    if (!choice) {
      return union(
        shape.values
          ? this.#literals(shape, shape.values)
          : this.#types(shape).map((type) => this.#typed(type, shape)),
      );
    }
    const base = { ...shape, choices };
    if (choice.isExclusive) {
      this.#checkExclusive(base, choice.schemas);
    }
    if (isFree(base)) {
      return union(choice.schemas.map((schema) => this.rule(schema, "alternative")));
    }
    return union(
      choice.schemas.map((schema) => {
        const merged = this.#merged(base, schema);
        return merged && this.#body(merged);
      }),
    );
  }

  #checkExclusive(base: SchemaShape, schemas: readonly Schema[]): void {
    const branches = schemas.map((schema) => {
      const merged = this.#merged(base, schema);
      return merged ? this.#alternatives(merged) : [];
    });
    for (const [index, branch] of branches.entries()) {
      for (const other of branches.slice(index + 1).flat()) {
        if (!branch.every((shape) => areDisjoint(shape, other, this.#reader))) {
          throw new UsageError(
            'the schema has a "oneOf" of schemas that do not visibly exclude each other (by type, constants, or a required property with different constants); use "anyOf".',
          );
        }
      }
    }
  }

  /** The shapes without choices that together allow what a shape does. */
  #alternatives(shape: SchemaShape): SchemaShape[] {
    const [choice, ...choices] = shape.choices;
    if (!choice) {
      return [shape];
    }
    return choice.schemas.flatMap((schema) => {
      const merged = this.#merged({ ...shape, choices }, schema);
      return merged ? this.#alternatives(merged) : [];
    });
  }

  #merged(shape: SchemaShape, schema: Schema): SchemaShape | undefined {
    if (++this.#combinations > maxCombinations) {
      throw new UsageError(
        `the schema's anyOf and oneOf have more than ${maxCombinations} combinations; use a simpler one.`,
      );
    }
    const other = this.#reader.shape(schema);
    return other && merge(shape, other);
  }

  #types(shape: SchemaShape): readonly JsonType[] {
    const types = [...(shape.types ?? inferredTypes(shape) ?? allTypes)];
    return types.filter((type) => type !== "integer" || !types.includes("number"));
  }

  #literals(shape: SchemaShape, values: readonly unknown[]): string[] {
    const { types, limits, pattern, format, properties, required, items, prefixItems } = shape;
    const isBound = pattern !== undefined || format !== undefined || properties.size > 0 || required.size > 0;
    if (
      isBound ||
      items !== undefined ||
      prefixItems ||
      Object.values(limits).some((limit) => limit !== undefined)
    ) {
      throw new UsageError(
        'the schema has "enum" or "const" together with keywords other than "type"; leave those out.',
      );
    }
    return values
      .filter((value) => !types || typeOfValue(value).some((type) => types.has(type)))
      .map((value) => literal(JSON.stringify(value)));
  }

  #typed(type: JsonType, shape: SchemaShape): string | undefined {
    switch (type) {
      case "null":
        return '"null"';
      case "boolean":
        return '("true" | "false")';
      case "integer":
        return named(this.#rules, "integer", integersBetween(shape.limits));
      case "number":
        return named(this.#rules, "number", numbersBetween(shape.limits));
      case "string":
        return stringRule(this.#rules, { ...shape.limits, pattern: shape.pattern, format: shape.format });
      case "array":
        return this.#array(shape);
      case "object":
        return this.#object(shape);
    }
  }

  #array({ items, prefixItems = [], limits }: SchemaShape): string | undefined {
    const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = limits;
    const open = `"[" ${this.#space}`;
    const prefix = prefixItems.slice(0, maxItems).map((schema) => this.rule(schema, "item"));
    if (maxItems < minItems || (prefix.includes(undefined) && minItems >= 1 + prefix.indexOf(undefined))) {
      return undefined;
    }
    const whole = prefix.slice(0, prefix.includes(undefined) ? prefix.indexOf(undefined) : prefix.length);
    const rest =
      prefixItems.length > 0 && items === undefined && minItems <= whole.length ? false : (items ?? true);
    const item =
      whole.length < prefix.length || whole.length >= maxItems ? undefined : this.rule(rest, "item");
    const least = minItems - whole.length;
    if (item === undefined && least > 0) {
      return undefined;
    }
    const [first, ...others] = whole;
    const next = `("," ${this.#space} ${item})`;
    const cap = Math.max(least, Math.min(maxItems - whole.length, manyItems));
    const most = maxItems === Number.POSITIVE_INFINITY ? undefined : cap;
    if (first !== undefined) {
      const rests = item === undefined ? "" : repeated(next, Math.max(0, least), most);
      const fixed = [first, ...others].join(` "," ${this.#space} `);
      return `${open} ${fixed} ${rests} ${this.#space} "]"`;
    }
    if (item === undefined) {
      return `${open} "]"`;
    }
    const items1 = `${item} ${repeated(next, Math.max(0, least - 1), most === undefined ? undefined : most - 1)} ${this.#space}`;
    return least > 0 ? `${open} ${items1} "]"` : `${open} (${items1})? "]"`;
  }

  #object({ properties, required, additionalProperties }: SchemaShape): string | undefined {
    const names = new Set([...properties.keys(), ...required]);
    const members: { key: string; value: string; isRequired: boolean }[] = [];
    for (const name of names) {
      const value = this.rule(properties.get(name) ?? additionalProperties ?? true, name);
      const isRequired = required.has(name);
      if (value === undefined && isRequired) {
        return undefined;
      }
      if (value !== undefined) {
        members.push({ key: literal(JSON.stringify(name)), value, isRequired });
      }
    }
    const further = additionalProperties ?? names.size === 0;
    const value = this.rule(further, "value");
    const additional = value === undefined ? undefined : { key: keyRuleExcept(this.#rules, names), value };
    return membersRule(this.#rules, this.#space, members, additional);
  }
}

/** Whether a shape says nothing. */
function isFree(shape: SchemaShape): boolean {
  return isEqual(describe(shape), describe(everything));
}

function describe(shape: SchemaShape): unknown {
  const { types, values, properties, required, limits, choices, ...rest } = shape;
  const sizes = [properties.size, required.size, choices.length];
  return [
    types === undefined,
    values === undefined,
    sizes,
    { ...limits },
    Object.values(rest).filter((value) => value !== undefined),
  ];
}

function named(rules: GrammarRules, hint: string, body: string | undefined): string | undefined {
  return body === undefined ? undefined : rules.add(hint, body);
}

function union(alternatives: readonly (string | undefined)[]): string | undefined {
  const possible = [...new Set(alternatives)].filter((alternative) => alternative !== undefined);
  return possible.length === 0 ? undefined : oneOf(possible);
}
