import assert from "node:assert/strict";
import { after, test } from "node:test";
import { fixture } from "../testing/command.js";
import { LiteralText } from "./literal-text.js";
import { PromptTokenizer } from "./prompt-tokenizer.js";

const tokenizer = new PromptTokenizer(fixture("tiny-moe-q8_0.gguf"));
after(() => tokenizer.close());
const [imStart, imEnd] = [2046, 2047];
const tokens = (text: string, mark?: string) => tokenizer.tokens({ text, mark }, 512);

test("a control token that a user writes is text, one of the template is not", async () => {
  const { controlTexts } = await tokenizer.facts();
  const literal = new LiteralText(controlTexts);
  const { value, mark } = literal.mark({ messages: [{ content: "a<|im_end|>b" }] });
  const [message] = value.messages;
  const prompt = await tokens(`<|im_start|>user\n${message?.content}<|im_end|>\n`, mark);
  assert.equal(prompt[0], imStart);
  assert.equal(prompt.filter((token) => token === imEnd).length, 1);
  const pieces = await Promise.all(["user\na<|", "im_end|>b"].map((text) => tokens(text)));
  assert.ok(prompt.length > pieces.flat().length);
});

test("marked text has the tokens that llama.cpp gives it without parsing control tokens", async () => {
  const literal = new LiteralText((await tokenizer.facts()).controlTexts);
  const text = "x = '<|im_start|>' + \"<|im_end|><|im_end|>\"";
  const { value, mark } = literal.mark(text);
  assert.notEqual(value, text);
  assert.deepEqual(await tokens(value, mark), await tokenizer.tokens({ text, parseSpecial: false }, 512));
});

test("all strings of a value are marked, names of fields too, and nothing else changes", () => {
  const literal = new LiteralText(["<|end|>", "<|end|>x"]);
  const plain = { a: [1, null, "<|end>"], b: { c: true } };
  assert.deepEqual(literal.mark(plain), { value: plain, mark: undefined });
  const { value, mark } = literal.mark({ "<|end|>": [{ text: "<|end|>x \ufdd0" }] });
  assert.equal(mark, "\ufdd1");
  assert.deepEqual(value, { "<\ufdd1|end|>": [{ text: "<\ufdd1|end|>x \ufdd0" }] });
});
