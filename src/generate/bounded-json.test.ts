import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../errors.js";
import { parseBoundedJson } from "./bounded-json.js";

test("what is JSON is parsed, what is not is a syntax error", () => {
  const value = { a: [1, -2.5e3, '}]{[\\" ,:', null, true], "\u{1f999}": { b: [] } };
  assert.deepEqual(parseBoundedJson(JSON.stringify(value, undefined, 1)), value);
  for (const text of ["", "{", '"abc', '{"a":1', "[1,]", '"\\']) {
    assert.throws(() => parseBoundedJson(text), SyntaxError);
  }
});

test("depth and number of values are bounded, not those of strings", () => {
  assert.ok(parseBoundedJson(`${"[".repeat(128)}${"]".repeat(128)}`));
  assert.throws(() => parseBoundedJson("[".repeat(129)), UsageError);
  assert.throws(() => parseBoundedJson(`{"a":`.repeat(100_000)), /nested deeper than 128/);
  assert.throws(() => parseBoundedJson(`[${"{},".repeat(500_000)}1]`), /more than 500000 values/);
  assert.equal(parseBoundedJson(JSON.stringify("[".repeat(1e6))), "[".repeat(1e6));
});
