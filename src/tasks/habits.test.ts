import assert from "node:assert/strict";
import { test } from "node:test";
import { endsInCircle, habitsOf, type JudgedAnswer, lengthRatio, sumHabits } from "./habits.js";

const range = (count: number) => Array.from({ length: count }, (_, at) => at);

test("an answer that goes round in a circle until it is cut off is found, a table is not", () => {
  const beginning = range(200);
  const round = (length: number) => range(600).map((at) => at % length);
  for (const length of [1, 7, 90]) {
    assert.ok(endsInCircle([...beginning, ...round(length)]), `${length}`);
  }
  assert.ok(!endsInCircle(beginning));
  assert.ok(!endsInCircle([...round(7), ...beginning]), "it went on with something else");
  assert.ok(!endsInCircle(range(400).map((at) => (at % 8 === 0 ? at : at % 8))), "rows that differ");
  const circle = [...beginning, ...round(7)];
  assert.equal(habitsOf("", circle, true).repeats, true);
  assert.equal(habitsOf("", circle, false).repeats, false);
});

test("fences and JSON that are left open are found, unless the answer was cut off", () => {
  const of = (text: string, truncated = false) => {
    const { openFence, json, brokenJson } = habitsOf(text, [], truncated);
    return [openFence, json, brokenJson];
  };
  assert.deepEqual(of("```python\nx = 1\n```\nDone."), [false, 0, 0]);
  assert.deepEqual(of("```python\nx = 1\n"), [true, 0, 0]);
  assert.deepEqual(of("```python\nx = 1\n", true), [false, 0, 0]);
  assert.deepEqual(of("````md\n```js\n1\n```\n````"), [false, 0, 0]);
  assert.deepEqual(of('```json\n{"a": [1, 2]}\n```\nand\n```json\n{"a": [1, 2}\n```'), [false, 2, 1]);
  assert.deepEqual(of('{"a": 1'), [false, 1, 1]);
  assert.deepEqual(of("[6, 13] is sorted."), [false, 0, 0]);
  assert.deepEqual(of("<think>```\n</think>Yes."), [false, 0, 0]);
});

function answer(line: number, tokens: number, more: Partial<JudgedAnswer> = {}): JudgedAnswer {
  return {
    line,
    tokens,
    truncated: false,
    repeats: false,
    openFence: false,
    json: 0,
    brokenJson: 0,
    ...more,
  };
}

test("length is compared task by task", () => {
  const source = range(20).map((line) => answer(line, 10 * (line + 1)));
  const shorter = source.map((one, at) => answer(one.line, one.tokens * (at % 2 === 0 ? 0.5 : 0.6)));
  const { ratio, low, high, tasks } = lengthRatio(shorter, source)!;
  assert.ok(Math.abs(ratio - Math.sqrt(0.5 * 0.6)) < 1e-12 && tasks === 20);
  assert.ok(low > 0.5 && high < 0.6, "tasks of different lengths do not blur it");
  const same = lengthRatio(source, source)!;
  assert.deepEqual([same.ratio, same.low, same.high], [1, 1, 1]);
  // Samples of a task are not tasks.
  const seeded = range(4).flatMap((seed) => source.map((one) => ({ ...one, seed })));
  assert.equal(lengthRatio(seeded, seeded)!.tasks, 20);
  assert.equal(lengthRatio(source.slice(0, 1), source), undefined);
});

test("habits are counted over all answers, calls over those that should have one", () => {
  const call = { written: true, known: true, valid: false };
  const habits = sumHabits([answer(1, 10, { truncated: true, repeats: true }), answer(2, 30, { call })]);
  assert.deepEqual([habits.answers, habits.tokens, habits.truncated, habits.repeating], [2, 20, 1, 1]);
  assert.deepEqual(habits.calls, { asked: 1, written: 1, known: 1, valid: 0 });
});
