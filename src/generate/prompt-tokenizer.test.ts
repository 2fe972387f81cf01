import assert from "node:assert/strict";
import { test } from "node:test";
import { CancelledError, UsageError } from "../errors.js";
import { fixture } from "../testing/command.js";
import { PromptTokenizer } from "./prompt-tokenizer.js";

const path = fixture("tiny-moe-q8_0.gguf");

test("a prompt that cannot fit is refused by its characters", async () => {
  const tokenizer = new PromptTokenizer(path);
  const { longestTokenBytes } = await tokenizer.facts();
  await assert.rejects(
    tokenizer.tokens("a".repeat(8 * longestTokenBytes + 1), 8),
    (error) => error instanceof UsageError && error.details.reason === "context-length",
  );
  assert.ok((await tokenizer.tokens("a".repeat(8 * longestTokenBytes), 8)).length > 8);
  await tokenizer.close();
});

test("tokenizing can be stopped, and the next prompt is tokenized", async () => {
  const tokenizer = new PromptTokenizer(path);
  const stop = new AbortController();
  const slow = tokenizer.tokens(" ".repeat(4_000_000), 4_000_000, stop.signal);
  const short = await tokenizer.tokens("1, 2", 512);
  stop.abort();
  await assert.rejects(slow, CancelledError);
  assert.ok(short.length > 0);
  assert.deepEqual(await tokenizer.tokens("1, 2", 512), short);
  await tokenizer.close();
  await assert.rejects(tokenizer.tokens("1, 2", 512), CancelledError);
});
