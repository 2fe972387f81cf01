import assert from "node:assert/strict";
import { test } from "node:test";
import { MalformedInputError } from "../errors.js";
import { parseRecipe } from "./recipe.js";

const header = "name: mine\nbase: IQ3_S\n";

test("a recipe is read with its rules and their places", () => {
  const recipe = parseRecipe(
    `name: mine
description: What it is for.
base: q4_k
rules:
  # a comment
  - { tensors: [routed.gate, attention], type: iq2_s }
  - tensors: routed.down
    layers: [0-3, 7, "44-47"]
    type: Q4_K
  - { match: '^blk\\.\\d+\\.attn_v', layers: 5, type: F16, optional: true }
`,
    "mine.yaml",
  );
  assert.deepEqual(recipe, {
    name: "mine",
    description: "What it is for.",
    base: "Q4_K_M",
    pure: false,
    rules: [
      { tensors: ["routed.gate", "attention"], type: "IQ2_S", optional: false, place: "mine.yaml:6" },
      {
        tensors: ["routed.down"],
        layers: [
          [0, 3],
          [7, 7],
          [44, 47],
        ],
        type: "Q4_K",
        optional: false,
        place: "mine.yaml:7",
      },
      { match: "^blk\\.\\d+\\.attn_v", layers: [[5, 5]], type: "F16", optional: true, place: "mine.yaml:10" },
    ],
  });
});

/** Text, and the message after the file's name. */
const mistakes: readonly (readonly [text: string, message: string])[] = [
  ["", "1: a recipe must be a mapping of keys to values."],
  ["- 1\n- 2\n", "1: a recipe must be a mapping of keys to values."],
  [
    "name: a\nbase: [1\n",
    "3: not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ].",
  ],
  [`${header}name: again\n`, '3: the key "name" stands twice.'],
  ["base: Q4_K_M\n", "1: name is missing."],
  ["name: a b\nbase: Q4_K_M\n", "1: a name has letters, digits and the signs . _ + - only."],
  ["name: a\nbase: 7\n", "2: base must be a text."],
  ["name: a\n\nbase: Q4_KM\n", '3: "Q4_KM" is not a base; did you mean "Q4_K_M" or "Q4_K" or "Q4_0"?'],
  ["name: a\nbasis: Q4_K_M\n", '2: "basis" is not a key here; did you mean "base"?'],
  [`${header}rules: 7\n`, "3: rules must be a list."],
  [`${header}rules:\n  - null\n`, "4: rule 1: a rule must be a mapping of keys to values."],
  [
    `${header}rules:\n  - { match: a, type: Q8_0 }\n  - match: b\n    typ: Q8_0\n`,
    '6: rule 2: "typ" is not a key here; did you mean "type"?',
  ],
  [
    `${header}rules:\n  - tensors: [attention,\n      routed.gat]\n    type: Q8_0\n`,
    '5: rule 1: "routed.gat" is not a role of tensors; did you mean "routed.gate" or "routed.up" or "routed"?',
  ],
  [`${header}rules:\n  - { tensors: [], type: Q8_0 }\n`, "4: rule 1: the list is empty."],
  [`${header}rules:\n  - { tensors: routed }\n`, "4: rule 1: type is missing."],
  [
    `${header}rules:\n  - { tensors: routed, type: Q4K }\n`,
    '4: rule 1: "Q4K" is not a tensor type; did you mean "Q4_K" or "Q4_0" or "Q4_1"?',
  ],
  [
    `${header}rules:\n  - { tensors: routed, type: Q4_K_M }\n`,
    '4: rule 1: "Q4_K_M" is not a tensor type but a mixture of types; use it as base, or name one type.',
  ],
  [
    `${header}rules:\n  - { type: Q4_K }\n`,
    "4: rule 1: a rule needs tensors (roles), match (a regular expression on names) or layers.",
  ],
  [
    `${header}rules:\n  - { layers: 7-3, type: Q4_K }\n`,
    '4: rule 1: "7-3" is not a layer or a range of layers; write them like 3, 0-3, or [0-3, 44-47].',
  ],
  [
    `${header}rules:\n  - { layers: [0-3, {}], type: Q4_K }\n`,
    "4: rule 1: layers must be like 3, 0-3, or [0-3, 44-47].",
  ],
  [
    `${header}rules:\n  - { match: 'a(', type: Q4_K }\n`,
    '4: rule 1: "a(" is not a regular expression (Invalid regular expression: /a(/: Unterminated group).',
  ],
  [
    `${header}rules:\n  - { match: 'blk.[[:digit:]]', type: Q4_K }\n`,
    '4: rule 1: "blk.[[:digit:]]": C++ character classes are not known here; write \\d for [[:digit:]] and [a-z] for [[:lower:]].',
  ],
  [
    `${header}rules:\n  - { match: '', type: Q4_K }\n`,
    "4: rule 1: an empty pattern matches every tensor; write .* if that is meant.",
  ],
  [
    `${header}rules:\n  - { match: a, type: Q4_K, optional: maybe }\n`,
    "4: rule 1: optional must be true or false.",
  ],
];

for (const [text, message] of mistakes) {
  test(`a mistake is explained: ${message}`, () => {
    assert.throws(
      () => parseRecipe(text, "mine.yaml"),
      (error) => {
        assert.ok(error instanceof MalformedInputError);
        assert.equal(error.message, `mine.yaml:${message}`);
        return true;
      },
    );
  });
}

test("a huge file is not taken for a recipe", () => {
  assert.throws(() => parseRecipe("#".repeat(2_000_000), "model.gguf"), /model.gguf: a recipe has less than/);
});
