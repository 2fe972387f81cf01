import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesAnswer } from "./answer.js";
import type { Expected } from "./task.js";

const right: readonly (readonly [answer: string, ...expected: Expected[]])[] = [
  ["391", 391],
  ["17 * 23 = 391", 391],
  ["Let me see: 17 * 20 = 340, 17 * 3 = 51.\n\nAnswer: 391", 391],
  ["**Answer:** 1,275.", 1275],
  ["The answer is $1{,}275$.", 1275],
  ["So the result is \\boxed{\\text{391}}", 391],
  ["\\[ x = 391 \\]", 391],
  ["Answer: 17 * 23 = 391", 391],
  ["Answer: 0.375", 0.375],
  ["The temperature is \u22125 degrees.", -5],
  ["Answer: 23 chickens and 12 rabbits (2 * 23 + 4 * 12 = 94)", 23, 12],
  ["Answer:\n- chickens: 23\n- rabbits: 12", 23, 12],
  ["There are 23 chickens and 12 rabbits.", 23, 12],
  ["<think>Answer: 4?\nNo.</think>\nAnswer: 5", 5],
  ["0 * 15 = 0", "= 0"],
  ["0 × 15 = **0**.", "= 0"],
  ["Check: 94.\nAnswer: 23 chickens and 12 rabbits.", "23 chickens and 12 rabbits"],
  ["Answer: 12 rabbits and 23 chickens", "23 chickens and 12 rabbits"],
  ["[36,46, 25]", "[36, 46, 25]"],
  ["Answer: Friday.", "Friday"],
  ["In 100 days it is a Friday", "friday"],
];

for (const [answer, ...expected] of right) {
  test(`${JSON.stringify(answer)} says ${expected.join(" and ")}`, () => {
    assert.ok(matchesAnswer(answer, expected));
  });
}

const wrong: readonly (readonly [answer: string, ...expected: Expected[]])[] = [
  ["", 391],
  ["17 * 23 = 390", 391],
  ["391 is wrong.\nAnswer: 390", 391],
  ["1391", 391],
  ["391.5", 391],
  ["Answer: 3910", 391],
  ["Answer: 12 chickens and 23 rabbits", 23, 12],
  ["Answer: 23", 23, 12],
  ["5 * 2 = 10", "= 0"],
  ["= 0 is not it, 5", "= 0"],
  ["Answer: 123 chickens and 12 rabbits", "23 chickens and 12 rabbits"],
  ["Answer: 23 chickens and 13 rabbits", "23 chickens and 12 rabbits"],
  ["[136, 46]", "[36, 46]"],
  ["Not Friday but Saturday", "Friday"],
  ["<think>The answer is 5", 5],
];

for (const [answer, ...expected] of wrong) {
  test(`${JSON.stringify(answer)} does not say ${expected.join(" and ")}`, () => {
    assert.ok(!matchesAnswer(answer, expected));
  });
}
