import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { printableJson, printableLine, printableText } from "./terminal.js";

/** Every character that a terminal could obey or that could change the order of what is shown, by Unicode's tables. */
const dangerous: readonly string[] = Array.from({ length: 0x10000 }, (_, code) =>
  String.fromCharCode(code),
).filter(
  (character) =>
    /\p{Cc}/u.test(character) ||
    /\p{Zl}|\p{Zp}/u.test(character) ||
    (/\p{Bidi_Control}/u.test(character) && !/[\u061c\u200e\u200f]/.test(character)),
);

test("no control, line separator or override of direction is left in a line", () => {
  assert.ok(dangerous.length > 70);
  const line = printableLine(dangerous.join(""));
  assert.ok(!dangerous.some((character) => line.includes(character)));
  assert.equal(
    printableLine("a\u001b[2Jb\r\nc\u202ed\u009b\u2028"),
    "a\\u{1b}[2Jb\\u{d}\\nc\\u{202e}d\\u{9b}\\u{2028}",
  );
});

test("a text keeps its line breaks and tabs, and nothing else of that kind", () => {
  const text = printableText(dangerous.join(""));
  assert.deepEqual(
    dangerous.filter((character) => text.includes(character)),
    ["\t", "\n"],
  );
});

test("other texts are left alone", () => {
  const text =
    "Zo\u00eb \u05e9\u05dc\u05d5\u05dd \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u{1f468}\u200d\u{1f469}\u200d\u{1f467} 漢字";
  assert.equal(printableLine(text), text);
  assert.equal(printableText(`${text}\n\t${text}`), `${text}\n\t${text}`);
});

test("what nobody can read is cut, each line for itself", () => {
  assert.equal(printableLine("a".repeat(98_000_000)).length, 10_000 + "... (98000000 characters)".length);
  assert.equal(printableLine("abcdef", 3), "abc... (6 characters)");
  assert.equal(printableText("abc\nabcdef\nab", 3), "abc\nabc... (6 characters)\nab");
});

test("JSON stays the same JSON without a character that a terminal obeys", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom(...dangerous), fc.string()), { maxLength: 20 }),
      (parts) => {
        const value = { [parts.join("")]: parts };
        const json = printableJson(value);
        assert.deepEqual(JSON.parse(json), value);
        assert.ok(!dangerous.some((character) => json.includes(character)));
      },
    ),
  );
});
