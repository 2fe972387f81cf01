import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../errors.js";
import { parseTensorType, parseTensorTypeFile } from "./overrides.js";

test("an option is split at the first equals sign and its type is read in any case", () => {
  assert.deepEqual(parseTensorType("ffn_down_exps=q4_k"), { pattern: "ffn_down_exps", type: "Q4_K" });
  assert.deepEqual(parseTensorType("blk\\.(?:1|2)\\.attn=Q8_0"), {
    pattern: "blk\\.(?:1|2)\\.attn",
    type: "Q8_0",
  });
});

test("a file has one option per word, in order", () => {
  assert.deepEqual(parseTensorTypeFile("\nattn_v=Q8_0  attn_k=Q6_K\r\n\tffn=Q4_K\n", "types.txt"), [
    { pattern: "attn_v", type: "Q8_0" },
    { pattern: "attn_k", type: "Q6_K" },
    { pattern: "ffn", type: "Q4_K" },
  ]);
});

const mistakes: readonly (readonly [text: string, message: string])[] = [
  ["attn_v", '`tensorType` "attn_v": expected PATTERN=TYPE, like ffn_down_exps=Q4_K.'],
  ["=Q4_K", '`tensorType` "=Q4_K": expected PATTERN=TYPE, like ffn_down_exps=Q4_K.'],
  ["attn_v=", '`tensorType` "attn_v=": expected PATTERN=TYPE, like ffn_down_exps=Q4_K.'],
  [
    "attn_v=Q4_KK",
    '`tensorType` "attn_v=Q4_KK": "Q4_KK" is not a tensor type; did you mean "Q4_K" or "Q4_0" or "Q4_1"?',
  ],
  [
    "(=Q4_K",
    '`tensorType` "(=Q4_K": "(" is not a regular expression (Invalid regular expression: /(/: Unterminated group).',
  ],
];

for (const [text, message] of mistakes) {
  test(`a mistake is explained: ${message}`, () => {
    assert.throws(
      () => parseTensorType(text),
      (error) => {
        assert.ok(error instanceof UsageError);
        assert.equal(error.message, message);
        return true;
      },
    );
  });
}

test("a mistake in a file names the line", () => {
  assert.throws(
    () => parseTensorTypeFile("a=Q4_K\n\nb=q6k\n", "types.txt"),
    /^UsageError: types.txt:3: "b=q6k"/,
  );
});
