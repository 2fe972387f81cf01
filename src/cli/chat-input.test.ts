import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { readMessages } from "./chat-input.js";

async function messagesOf(...lines: string[]): Promise<string[]> {
  const messages: string[] = [];
  for await (const message of readMessages(Readable.from(lines))) {
    messages.push(message);
  }
  return messages;
}

test("a line is a message, and empty ones are none", async () => {
  assert.deepEqual(await messagesOf("one", "", "  ", " two "), ["one", "two"]);
});

test("a backslash at the end leads on to the next line", async () => {
  assert.deepEqual(await messagesOf("one \\", "two\\", "three", "four"), ["one \ntwo\nthree", "four"]);
});

test("three quotation marks enclose lines as they are", async () => {
  assert.deepEqual(await messagesOf('"""', "def f():", "    return 1\\", "", '"""', "next"), [
    "def f():\n    return 1\\",
    "next",
  ]);
  assert.deepEqual(await messagesOf('"""one', 'two"""', '"""three"""'), ["one\ntwo", "three"]);
});

test("what is unfinished at the end is a message too", async () => {
  assert.deepEqual(await messagesOf('"""one', "two"), ["one\ntwo"]);
  assert.deepEqual(await messagesOf("one\\"), ["one"]);
});
