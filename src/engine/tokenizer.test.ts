import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
// Loads one of llama.cpp's libraries through koffi before the engine does.
import "../testing/ggml.js";
import { loadLibrary } from "./library.js";
import { Model } from "./model.js";
import { type SpecialToken, SpecialTokens } from "./special-tokens.js";

const path = fileURLToPath(new URL("../../fixtures/tiny-moe-q8_0.gguf", import.meta.url));
const library = loadLibrary();
const { native } = library;
const model = Model.load(library, { path, vocabularyOnly: true });

/** What llama.cpp makes of the whole text at once. */
function oracle(text: string, addSpecial: boolean, parseSpecial: boolean): number[] {
  const address = native.llama_model_load_from_file(path, {
    ...native.llama_model_default_params(),
    vocab_only: true,
  });
  const bytes = new TextEncoder().encode(text);
  const tokens = new Int32Array(bytes.length + 16);
  const vocabulary = native.llama_model_get_vocab(address);
  const count = native.llama_tokenize(
    vocabulary,
    bytes,
    bytes.length,
    tokens,
    tokens.length,
    addSpecial,
    parseSpecial,
  );
  native.llama_model_free(address);
  return [...tokens.subarray(0, count)];
}

const pieces = [
  "<|im_start|>",
  "<|im_end|>",
  "<|endoftext|>",
  "<|im_",
  "end|>",
  " ",
  "\n",
  "a",
  "def f",
  "é",
  "<",
];

test("texts with special tokens have the tokens that llama.cpp gives them", () => {
  const texts = fc.array(fc.constantFrom(...pieces), { maxLength: 20 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(texts, fc.boolean(), fc.boolean(), (text, addSpecial, parseSpecial) => {
      assert.deepEqual(
        [...model.tokenize(text, { addSpecial, parseSpecial })],
        oracle(text, addSpecial, parseSpecial),
      );
    }),
    { numRuns: 100 },
  );
});

test("control tokens are named as they are written", () => {
  assert.deepEqual(model.controlTexts().sort(), ["<|endoftext|>", "<|im_end|>", "<|im_start|>"]);
  assert.ok(model.longestTokenBytes() >= 13);
});

const special = (token: number, text: string, more: Partial<SpecialToken> = {}): SpecialToken => ({
  token,
  text,
  isControl: true,
  stripsLeft: false,
  stripsRight: false,
  ...more,
});

function split(tokens: SpecialToken[], text: string, parseSpecial = true): (number | string)[] {
  const bytes = Buffer.from(text);
  const parts = new SpecialTokens(tokens).split(bytes, parseSpecial);
  return parts.map((part) =>
    typeof part === "number" ? part : bytes.subarray(part.begin, part.end).toString(),
  );
}

test("longer special tokens are found first, wherever they begin", () => {
  const tokens = [special(1, "abc"), special(2, "bcde"), special(3, "a")];
  assert.deepEqual(split(tokens, "abcde"), [3, 2]);
  assert.deepEqual(split(tokens, "xabcx"), ["x", 1, "x"]);
  assert.deepEqual(split(tokens, "aaa"), [3, 3, 3]);
});

test("white space beside a special token that strips it is no text", () => {
  const tokens = [special(1, "<l>", { stripsLeft: true }), special(2, "<r>", { stripsRight: true })];
  assert.deepEqual(split(tokens, "a \n<l> b <r> \t"), ["a", 1, " b ", 2]);
});

test("tokens that users added are special without being asked for, control tokens are not", () => {
  const tokens = [special(1, "<c>"), special(2, "<u>", { isControl: false })];
  assert.deepEqual(split(tokens, "<c><u>", false), ["<c>", 2]);
});

test("a text of many special tokens is read once", () => {
  const text = "<|im_end|>a".repeat(200_000);
  assert.equal(model.tokenize(text, { parseSpecial: true }).length, 400_000);
});
