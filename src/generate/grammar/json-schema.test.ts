import assert from "node:assert/strict";
import { after, test } from "node:test";
import { UsageError } from "../../errors.js";
import { fixture } from "../../testing/command.js";
import { constrainedAnswer, findFault } from "../../testing/constrained-answers.js";
import { Generator } from "../generator.js";
import { schemaToGrammar } from "./json-schema.js";

const generator = new Generator({
  model: { path: fixture("tiny-moe-q8_0.gguf") },
  slots: 4,
  threads: 1,
  contextLength: 1024,
});
after(() => generator.close());

// `node scripts/constrained.mjs` asks for as many as one likes.
test("answers under the grammars of random schemas validate", async () => {
  const outcomes = await Promise.all(
    Array.from({ length: 24 }, (_, seed) => constrainedAnswer(generator, seed)),
  );
  for (const { schema, text, fault } of outcomes) {
    assert.equal(fault, undefined, `${JSON.stringify(schema)}: ${text}`);
  }
  assert.ok(outcomes.filter(({ isWhole }) => isWhole).length > 18);
});

test("what agents send becomes an answer that validates", async () => {
  const weather = {
    $schema: "http://json-schema.org/draft-07/schema#",
    type: "object",
    description: "Looks up the weather.",
    properties: {
      city: { type: "string", description: "Where", maxLength: 12 },
      unit: { type: "string", enum: ["celsius", "fahrenheit"], default: "celsius" },
      days: { type: "integer", minimum: 1, maximum: 14 },
      place: { anyOf: [{ $ref: "#/definitions/place" }, { type: "null" }] },
    },
    required: ["city", "unit", "days", "place"],
    additionalProperties: false,
    definitions: {
      place: {
        type: "object",
        properties: { latitude: { type: "number", minimum: -90, maximum: 90 } },
        required: ["latitude"],
      },
    },
  };
  const { text } = await generator.generate({
    prompt: "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n",
    grammar: { gbnf: schemaToGrammar(weather) },
    sampling: { seed: 3 },
  });
  assert.equal(findFault({ ...weather, $schema: undefined }, text), undefined, text);
});

const refused: Readonly<Record<string, readonly [schema: unknown, message: RegExp]>> = {
  "no schema": [["a"], /must be an object or a boolean/],
  "an unknown keyword": [{ properties: { a: { not: {} } } }, /keyword "not" is not supported/],
  "unique items": [{ type: "array", uniqueItems: true }, /keyword "uniqueItems"/],
  "an unknown type": [{ type: "date" }, /the type "date"/],
  "a reference elsewhere": [{ $ref: "https://example.org/a.json" }, /leads to no schema/],
  "a reference to nothing": [{ $ref: "#/$defs/a" }, /leads to no schema/],
  "a reference through a prototype": [{ $ref: "#/constructor" }, /leads to no schema/],
  "a reference to itself": [{ allOf: [{ $ref: "#" }] }, /refers to itself/],
  "an alternative that is itself": [
    { anyOf: [{ $ref: "#" }, { type: "null" }], oneOf: [{ $ref: "#" }] },
    /more than 16 anyOf and oneOf|combinations/,
  ],
  "schemas that both can hold": [{ oneOf: [{ type: "integer" }, { type: "number" }] }, /exclude each other/],
  "a number that is an integer": [{ oneOf: [{ type: "number" }, { const: 1 }] }, /exclude each other/],
  "alternatives that are themselves": [{ type: "string", anyOf: [{ $ref: "#" }] }, /combinations/],
  nothing: [false, /allows no value/],
  "types that exclude each other": [{ allOf: [{ type: "string" }, { type: "null" }] }, /allows no value/],
  "bounds upside down": [{ type: "integer", minimum: 3, maximum: 2 }, /allows no value/],
  "a required property that cannot be": [{ required: ["a"], properties: { a: false } }, /allows no value/],
  "a pattern that looks around": [{ type: "string", pattern: "^(?=a)b$" }, /looks around/],
  "a pattern that refers back": [{ type: "string", pattern: "(a)\\1" }, /cannot follow/],
  "a pattern that is none": [{ type: "string", pattern: "(" }, /no regular expression/],
  "a pattern with another length": [
    { type: "string", pattern: "^a+$", maxLength: 3 },
    /say the length in the pattern/,
  ],
  "too deep a schema": [JSON.parse(`${'{"items":'.repeat(100)}{}${"}".repeat(100)}`), /more than 64 deep/],
  "too many values": [
    { enum: Array.from({ length: 30_000 }, (_, index) => index) },
    /more than 20000 values/,
  ],
  "too large a grammar": [
    {
      properties: Object.fromEntries(
        Array.from({ length: 900 }, (_, index) => [
          `p${index}`,
          { type: "object", properties: { [`q${index}`]: {}, [`r${index}`]: {} } },
        ]),
      ),
    },
    /more than 4000 rules/,
  ],
};

for (const [what, [schema, message]] of Object.entries(refused)) {
  test(`a schema with ${what} is refused in words`, () => {
    assert.throws(
      () => schemaToGrammar(schema),
      (error) => {
        assert.ok(error instanceof UsageError, String(error));
        assert.match(error.message, message);
        return true;
      },
    );
  });
}

test("definitions that refer to each other through allOf come to an end", () => {
  const again = (minItems: number) => ({
    properties: { c: { allOf: [{ $ref: "#/$defs/n" }, { minItems }] } },
  });
  const schema = { $ref: "#/$defs/n", $defs: { n: { allOf: [again(1), again(2)] } } };
  assert.ok(schemaToGrammar(schema).length > 0);
});

test("the same schema gives the same grammar", () => {
  const schema = {
    type: "object",
    properties: { a: { type: "integer", minimum: 5 } },
    additionalProperties: {},
  };
  assert.equal(schemaToGrammar(schema), schemaToGrammar(structuredClone(schema)));
});

test("a few references that ask for a million schemas are refused, not followed", () => {
  const twice = (name: string) => ({ allOf: [{ $ref: `#/$defs/${name}` }, { $ref: `#/$defs/${name}` }] });
  const levels = Array.from({ length: 25 }, (_, level) => [
    `d${level}`,
    level === 0 ? { type: "string" } : twice(`d${level - 1}`),
  ]);
  assert.throws(() => schemaToGrammar({ $defs: Object.fromEntries(levels), $ref: "#/$defs/d24" }), {
    name: "UsageError",
    message: "the schema takes more than 100000 steps to read, references followed; use a simpler one.",
  });
});
