import assert from "node:assert/strict";
import { test } from "node:test";
import { fixture } from "../testing/command.js";
import { checkReadable, withoutFinalNewline } from "./text.js";

test("the last line's end does not count", () => {
  assert.deepEqual(withoutFinalNewline(Buffer.from("a\n\n")), Buffer.from("a\n"));
  assert.deepEqual(withoutFinalNewline(Buffer.from("a")), Buffer.from("a"));
  assert.deepEqual(withoutFinalNewline(Buffer.from("")), Buffer.from(""));
});

test("what is no file to read is said so", async () => {
  await checkReadable(fixture("README.md"));
  await assert.rejects(checkReadable(fixture("text")), /text: is not a file; name a text file\./);
  await assert.rejects(checkReadable(fixture("none")), /none: cannot be read; check the path\./);
});
