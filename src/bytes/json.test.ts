import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type JsonValue, parseJson, parsePlainJson, readJson } from "./json.js";
import { MemorySource } from "./source.js";

/** The value as `JSON.parse` gives it. */
function plain(value: JsonValue): unknown {
  if (value instanceof Map) {
    return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  }
  return Array.isArray(value) ? value.map(plain) : value;
}

/** Text of any code points, control characters included. */
const anyText = fc
  .array(fc.oneof(fc.nat(0x7f), fc.nat(0xd7ff), fc.integer({ min: 0xe000, max: 0x10ffff })), {
    maxLength: 12,
  })
  .map((codePoints) => String.fromCodePoint(...codePoints));

test("any JSON document gives the values that JSON.parse gives", () => {
  fc.assert(
    fc.property(
      fc.tuple(fc.jsonValue({ stringUnit: "grapheme-ascii" }), anyText),
      fc.constantFrom("", " ", "\t", "\n\r"),
      (value, space) => {
        const text = space + JSON.stringify(value, undefined, space || undefined) + space;
        assert.equal(JSON.stringify(plain(parseJson(text, "x"))), JSON.stringify(JSON.parse(text)));
      },
    ),
  );
});

test("any text that JSON.parse refuses is refused", () => {
  const piece = fc.constantFrom(
    ...'{}[],:"\\ 0123456789.-+eE\u0001',
    "true",
    "null",
    '"a"',
    '"a":1',
    "\\u00e4",
    "\\u12",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const text = pieces.join("");
      let expected: unknown;
      try {
        expected = JSON.parse(text);
      } catch {
        assert.throws(() => parseJson(text, "x"), { name: "MalformedInputError" }, text);
        return;
      }
      try {
        assert.deepEqual(plain(parseJson(text, "x")), expected, text);
      } catch (error) {
        // What we refuse and JSON.parse takes.
        assert.match(String(error), /stands twice|too large for float64|half of a surrogate pair/);
      }
    }),
    { numRuns: 2000 },
  );
});

const refused: readonly [text: string, message: string][] = [
  ["", "x: is not valid JSON at character 0: a value was expected. Download it again."],
  [
    '{"a":1,"a":2}',
    'x: is not valid JSON at character 10: "a" stands twice in one object. Download it again.',
  ],
  ['{"a" 1}', 'x: is not valid JSON at character 5: ":" was expected. Download it again.'],
  ["[1 2]", 'x: is not valid JSON at character 3: "," or "]" was expected. Download it again.'],
  [
    "[1] 2",
    "x: is not valid JSON at character 4: more text after the end of the document. Download it again.",
  ],
  ['["a', "x: is not valid JSON at character 1: a string without an end. Download it again."],
  [
    '"\\x"',
    "x: is not valid JSON at character 0: a string with an invalid character or escape. Download it again.",
  ],
  [
    '"\\ud83d"',
    "x: is not valid JSON at character 0: a string with half of a surrogate pair. Download it again.",
  ],
  ["1e999", "x: is not valid JSON at character 5: a number too large for float64. Download it again."],
  ["{1:2}", "x: is not valid JSON at character 1: a name in double quotes was expected. Download it again."],
];

for (const [text, message] of refused) {
  test(`${JSON.stringify(text)} is refused with the place and the reason`, () => {
    assert.throws(() => parseJson(text, "x"), { name: "MalformedInputError", message });
  });
}

test("nesting that could exhaust the stack is refused", () => {
  assert.throws(() => parseJson("[".repeat(100_000), "x"), /nested deeper than 64 levels/);
  assert.doesNotThrow(() => parseJson("[".repeat(64) + "]".repeat(64), "x"));
});

test("names that mean something to JavaScript are names like others", () => {
  const value = parseJson('{"__proto__":{"polluted":1},"constructor":2}', "x");
  assert.ok(value instanceof Map);
  assert.deepEqual([...value.keys()], ["__proto__", "constructor"]);
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
});

test("plain objects have their own names and nothing else, and are the same document", () => {
  const value = parsePlainJson('{"__proto__":{"polluted":1},"toString":[{"a":null}],"1":true}', "x");
  assert.ok(typeof value === "object" && value !== null && !Array.isArray(value));
  assert.equal(Object.getPrototypeOf(value), null);
  assert.deepEqual(Object.keys(value).sort(), ["1", "__proto__", "toString"]);
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: "grapheme-ascii" }), (json) => {
      const text = JSON.stringify(json);
      assert.deepEqual(JSON.parse(JSON.stringify(parsePlainJson(text, "x"))), JSON.parse(text));
    }),
  );
  assert.throws(() => parsePlainJson('{"a":1,"a":1}', "x"), /"a" stands twice in one object/);
});

/** Documents of 98 MB, as large as a safetensors header may be, of the smallest parts that there are. */
for (const part of ["{}", '{"":0}', "[]", "0", '""', "[[]]"]) {
  test(`98 MB of ${part} are refused before they take much memory`, () => {
    const count = Math.floor(98_000_000 / (part.length + 1));
    const text = `[${`${part},`.repeat(count)}${part}]`;
    for (const parse of [parseJson, parsePlainJson]) {
      assert.throws(() => parse(text, "x"), {
        name: "MalformedInputError",
        message:
          /^x: is not valid JSON at character \d+: more than \d+ (values|objects), which no file of this kind has/,
      });
    }
  });
}

test("a name of 98 MB that stands twice is not repeated", () => {
  const name = "a".repeat(49_000_000);
  assert.throws(
    () => parseJson(`{"${name}":1,"${name}":2}`, "x"),
    (error: Error) => error.message.length < 300,
  );
});

test("a file that is too long or not UTF-8 is refused", async () => {
  const source = new MemorySource("a.json", Uint8Array.of(0x22, 0xff, 0x22));
  await assert.rejects(readJson(source, 3), {
    name: "MalformedInputError",
    message: "a.json: is not valid UTF-8 text; download it again.",
  });
  await assert.rejects(readJson(source, 2), {
    name: "MalformedInputError",
    message:
      "a.json: has 3 bytes, more than the 2 that such a file can sensibly have; check that it is the right file.",
  });
});
