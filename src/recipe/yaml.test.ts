import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseRecipe } from "./recipe.js";

const letters = [..."abcdefghi"];
const nine = (text: string) => `[${Array(9).fill(text).join(", ")}]`;

describe("YAML that would exhaust the parser is refused in one sentence", () => {
  const texts: Record<string, string> = {
    "aliases that expand to millions": letters
      .map((key, index) => `${key}: &${key} ${nine(index === 0 ? "x" : `*${letters[index - 1]}`)}`)
      .join("\n"),
    "an alias without an anchor": "name: *missing",
    "an anchor that contains itself": "name: &a [*a]",
    "a tag": "name: !!set x",
    "thousands of brackets": "[".repeat(20_000),
    "thousands of braces": "{a: ".repeat(20_000),
    "thousands of lists in a line": "- ".repeat(20_000),
    "thousands of keys in a line": "? ".repeat(20_000),
    "thousands of levels in lines": Array.from({ length: 1300 }, (_, i) => `${" ".repeat(i)}- `).join("\n"),
    "tagged lists": "- !!seq ".repeat(20_000),
    "one key a hundred thousand times": "a: \n".repeat(100_000),
    "a key that is a list": "[a, b]: c",
  };
  for (const [title, text] of Object.entries(texts)) {
    it(title, () => {
      assert.throws(() => parseRecipe(text, "r.yaml"), {
        name: "MalformedInputError",
        message: /^r\.yaml:\d+: /,
      });
    });
  }
});
