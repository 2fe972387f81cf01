import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { MemorySource } from "./source.js";
import { parseJsonAs, readJsonAs } from "./typed-json.js";

const schema = z.object({
  format: z.literal("list 1"),
  items: z.array(z.strictObject({ name: z.string(), size: z.number().optional() })),
  sums: z.record(z.string(), z.string()).optional(),
});
const kind = { kind: "a list", advice: "make it again" };

test("a document of the form is given with its types", () => {
  const list = parseJsonAs(schema, '{"format":"list 1","items":[{"name":"a"}],"other":1}', "x", kind);
  assert.deepEqual(list, { format: "list 1", items: [{ name: "a" }] });
});

const refused: readonly [text: string, message: string][] = [
  ["[]", "x: is not a list: Invalid input: expected object, received array; make it again."],
  [
    '{"format":"list 1"}',
    "x: is not a list: items: Invalid input: expected array, received undefined; make it again.",
  ],
  [
    '{"format":"list 1","items":[{"name":"a"},{"name":1}]}',
    "x: is not a list: items[1].name: Invalid input: expected string, received number; make it again.",
  ],
  [
    '{"format":"list 1","items":[{"name":"a","\\u001b[2J":1}]}',
    'x: is not a list: items[0] has a field "\\u{1b}[2J" that is not known; make it again.',
  ],
  [
    '{"format":"list 1","items":[],"sums":{"a b":1}}',
    'x: is not a list: sums["a b"]: Invalid input: expected string, received number; make it again.',
  ],
  [
    '{"format":"list 1","format":"list 1"}',
    'x: is not valid JSON at character 27: "format" stands twice in one object. Download it again.',
  ],
];

for (const [text, message] of refused) {
  test(`${text} is refused with the place and the reason`, () => {
    assert.throws(() => parseJsonAs(schema, text, "x", kind), { name: "MalformedInputError", message });
  });
}

test("names that mean something to JavaScript neither help nor harm", () => {
  const text = '{"__proto__":{"format":"list 1","items":[]}}';
  assert.throws(() => parseJsonAs(schema, text, "x", kind), /format: Invalid input/);
  assert.throws(() =>
    parseJsonAs(z.object({ constructor: z.unknown() }).strict(), '{"toString":1}', "x", kind),
  );
});

test("a source is read up to its bound", async () => {
  const source = new MemorySource("x", Buffer.from('{"format":"list 1","items":[]}'));
  assert.equal((await readJsonAs(schema, source, { ...kind, maxBytes: 100 })).format, "list 1");
  await assert.rejects(readJsonAs(schema, source, { ...kind, maxBytes: 10 }), /more than the 10/);
});
