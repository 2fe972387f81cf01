import assert from "node:assert/strict";
import { test } from "node:test";
import { checkGbnf } from "./gbnf-check.js";
import { patternGbnf } from "./pattern.js";

/** The same language as a regular expression. */
function matcher(gbnf: string): (text: string) => boolean {
  const parts = gbnf.match(/"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|\{[^}]*\}|[()|?*+]/g) ?? [];
  const source = parts.map((part) => {
    if (part.startsWith('"')) {
      const text = part.slice(1, -1).replace(/\\(.)/g, "$1");
      return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
    }
    return part
      .replaceAll('\\"', '"')
      .replace(/\\U([0-9a-f]{8})/g, (_, hex: string) => `\\u{${hex.replace(/^0+(?=.)/, "")}}`);
  });
  const expression = new RegExp(`^(?:${source.join("")})$`, "u");
  return (text) => expression.test(text);
}

const samples = [
  "",
  "a",
  "b",
  "z",
  "ab",
  "aab",
  "abc",
  "foo-12",
  "bar-1234",
  "foo-1",
  "é.x.",
  "A1:B2:C3",
  "a b",
  "a\tb",
  "1",
  "12",
  "_",
  "-",
  '"',
  "\\",
  '"\\"',
  "\n",
  "漢字",
  "😀",
  "x y z",
  "aXb",
  "bba",
  "[]",
  "a-z",
];
const patterns = [
  "",
  "a",
  "^a",
  "a$",
  "^a$",
  "^(a|b)*$",
  "^(?:foo|bar)-\\d{2,4}$",
  "b+a?",
  "^\\w+\\s\\w+$",
  "^[^a-z]{1,2}$",
  "^.$",
  "^\\S+$",
  "^[\\w-]+$",
  "^[-a]$",
  '^"\\\\?"?$',
  "^(?<word>[a-c]+)$",
  "^\\u{1F600}$",
  "^\\uD83D\\uDE00$",
  "^\\x61\\x62$",
  "^a|b$",
  "^[\\[\\]]{2}$",
  "^\\D\\W?$",
  "^(a(b(c)?)?)?$",
  "^[漢字]+$",
  "^a*?b{0,2}$",
  "^\\n$",
];

for (const pattern of patterns) {
  test(`${JSON.stringify(pattern)} matches as a grammar what it matches as an expression`, () => {
    const { gbnf, least, most } = patternGbnf(pattern);
    checkGbnf(`root ::= ${gbnf || '""'}`);
    const matches = matcher(gbnf || '""');
    const expression = new RegExp(pattern, "u");
    for (const sample of samples) {
      const isExpected = expression.test(sample);
      assert.equal(matches(JSON.stringify(sample).slice(1, -1)), isExpected, JSON.stringify(sample));
      const length = Array.from(sample).length;
      assert.ok(!isExpected || (length >= least && length <= most));
    }
  });
}
