/** Random JSON Schemas of the subset that `schemaToGrammar` supports, for property tests. */
import type { RandomNumbers } from "../generate/random.js";

type Json = Readonly<Record<string, unknown>>;

const names = ["name", "id", "n", "na", "é漢", 'quo"te', "tags", "value", "x-y"];
const texts = ["red", "green", "", "é漢😀", 'a "quoted" one', "line\nbreak", "back\\slash", "true"];
const patterns = [
  "^[a-z]{1,8}$",
  "^(foo|bar)-\\d{2,4}$",
  "b+a?",
  "^\\w+\\s\\w+$",
  '^["\\\\]{1,3}$',
  "^[^a-z]{2}$|^z$",
  "^\\u00e9.\\.x?$",
  "^(?:[A-F0-9]{2}:){2}[A-F0-9]{2}$",
];
const formats = ["date", "time", "date-time", "duration", "uuid", "email", "hostname", "ipv4", "ipv6", "uri"];

/** A schema, and the definitions it refers to, as one document. */
export function randomSchema(random: RandomNumbers): Json {
  const maker = new SchemaMaker(random);
  const schema = maker.schema(3);
  return { ...schema, $defs: maker.definitions() };
}

class SchemaMaker {
  readonly #random: RandomNumbers;

  constructor(random: RandomNumbers) {
    this.#random = random;
  }

  definitions(): Json {
    return {
      leaf: this.schema(0),
      pair: { type: "object", properties: { a: this.schema(0), b: this.schema(0) }, required: ["a"] },
      list: {
        type: "object",
        properties: { head: this.schema(0), next: { anyOf: [{ type: "null" }, { $ref: "#/$defs/list" }] } },
        required: ["next"],
      },
    };
  }

  schema(depth: number): Json {
    const leaves = [
      () => this.#string(),
      () => this.#integer(),
      () => this.#number(),
      () => ({ enum: this.#some(texts.concat(["1"]), 1).map((text, index) => (index === 1 ? index : text)) }),
      () => ({ const: this.#pick<unknown>([null, true, 5, -0.5, "a b", ["x", 1], { a: [], b: "c" }]) }),
      () => ({ type: this.#pick<unknown>(["boolean", "null", ["string", "null"], ["integer", "boolean"]]) }),
    ];
    if (depth === 0) {
      return this.#pick(leaves)();
    }
    const all = [
      ...leaves,
      () => this.#object(depth),
      () => this.#object(depth),
      () => this.#object(depth),
      () => this.#array(depth),
      () => this.#array(depth),
      () => ({ anyOf: [this.schema(depth - 1), this.schema(depth - 1)], title: "either" }),
      () => this.#exclusive(depth),
      () => this.#together(depth),
      () => ({ $ref: `#/$defs/${this.#pick(["leaf", "pair", "list"])}`, description: "elsewhere" }),
      () => ({ ...this.#object(depth), nullable: true }),
    ];
    return this.#pick(all)();
  }

  #string(): Json {
    const least = this.#below(4);
    return this.#pick<() => Json>([
      () => ({ type: "string", maxLength: 20 }),
      () => ({ type: "string", minLength: least, maxLength: least + this.#below(9) }),
      () => ({ type: "string", minLength: 290, maxLength: 300 + this.#below(300) }),
      () => ({ type: "string", pattern: this.#pick(patterns) }),
      () => ({ type: "string", format: this.#pick(formats) }),
    ])();
  }

  #integer(): Json {
    const bound = Math.floor((this.#random.next() - 0.5) * 10 ** this.#below(8));
    return this.#pick<() => Json>([
      () => ({ type: "integer" }),
      () => ({ type: "integer", minimum: bound }),
      () => ({ type: "integer", exclusiveMaximum: bound }),
      () => ({ type: "integer", minimum: bound, maximum: bound + this.#below(1000) }),
      () => ({ type: "integer", exclusiveMinimum: bound - 0.5, maximum: bound + this.#below(20) + 0.5 }),
    ])();
  }

  #number(): Json {
    const bound = Number(((this.#random.next() - 0.5) * 10 ** this.#below(5)).toFixed(this.#below(5)));
    return this.#pick<() => Json>([
      () => ({ type: "number" }),
      () => ({ type: "number", minimum: 0, maximum: 1 }),
      () => ({ type: "number", exclusiveMinimum: bound }),
      () => ({ type: "number", maximum: bound }),
      () => ({ type: "number", minimum: bound, exclusiveMaximum: bound + 10 ** (2 - this.#below(5)) }),
    ])();
  }

  #object(depth: number): Json {
    const chosen = this.#some(names, 0);
    const properties = Object.fromEntries(chosen.map((name) => [name, this.schema(depth - 1)]));
    const required = chosen.filter(() => this.#random.next() < 0.5);
    const additional = this.#pick<unknown>([undefined, false, false, true, { type: "integer" }]);
    return {
      type: "object",
      properties,
      ...(required.length > 0 ? { required } : {}),
      ...(additional === undefined ? {} : { additionalProperties: additional }),
    };
  }

  #array(depth: number): Json {
    const least = this.#below(3);
    const items = this.schema(depth - 1);
    return this.#pick<() => Json>([
      () => ({ type: "array", items, minItems: least, maxItems: least + this.#below(3) }),
      () => ({ type: "array", prefixItems: [items, this.schema(0)], items: false, minItems: 2 }),
      () => ({ type: "array", prefixItems: [this.schema(0)], items, minItems: 1, maxItems: 3 }),
      () => ({ type: "array", items }),
    ])();
  }

  #exclusive(depth: number): Json {
    const tagged = (tag: string) => ({
      type: "object",
      properties: { kind: { const: tag }, value: this.schema(depth - 1) },
      required: ["kind", "value"],
    });
    return this.#pick<() => Json>([
      () => ({ oneOf: [tagged("circle"), tagged("square"), { type: "null" }] }),
      () => ({ oneOf: [{ type: "boolean" }, this.#integer(), { enum: ["x", "y"] }] }),
    ])();
  }

  #together(depth: number): Json {
    return this.#pick<() => Json>([
      () => ({ allOf: [{ type: "integer", minimum: 3 }, { type: "number", maximum: 40 }, { minimum: -5 }] }),
      () => ({
        type: "object",
        properties: { a: { type: ["integer", "string"], maxLength: 3 } },
        allOf: [
          { required: ["a", "b"] },
          { properties: { a: { minLength: 1, minimum: 7 }, b: this.schema(depth - 1) } },
        ],
      }),
      () => ({ allOf: [{ $ref: "#/$defs/pair" }, { properties: { c: { type: "null" } }, required: ["c"] }] }),
    ])();
  }

  #below(count: number): number {
    return Math.floor(this.#random.next() * count);
  }

  #pick<Value>(values: readonly Value[]): Value {
    return values[this.#below(values.length)] as Value;
  }

  #some<Value>(values: readonly Value[], least: number): Value[] {
    const shuffled = [...values];
    for (let at = shuffled.length - 1; at > 0; at--) {
      const other = this.#below(at + 1);
      [shuffled[at], shuffled[other]] = [shuffled[other] as Value, shuffled[at] as Value];
    }
    return shuffled.slice(0, least + this.#below(4));
  }
}
