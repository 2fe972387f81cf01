import assert from "node:assert/strict";
import { test } from "node:test";
import { passRates, wilsonInterval } from "./pass-rates.js";

test("an interval ends where the rate seen is 1.96 standard deviations from the rate assumed", () => {
  for (const [passed, total] of [
    [5, 10],
    [1, 10],
    [66, 200],
    [199, 200],
  ] as const) {
    const { low, high } = wilsonInterval(passed, total);
    for (const [end, sign] of [
      [low, 1],
      [high, -1],
    ] as const) {
      const deviation = Math.sqrt((end * (1 - end)) / total);
      assert.ok(
        Math.abs((sign * (passed / total - end)) / deviation - 1.959964) < 1e-5,
        `${passed}/${total}`,
      );
    }
  }
});

test("intervals make sense at their ends and without tasks", () => {
  assert.equal(wilsonInterval(0, 10).low, 0);
  assert.equal(wilsonInterval(10, 10).high, 1);
  assert.ok(wilsonInterval(10, 10).low < 0.75);
  assert.deepEqual(wilsonInterval(0, 0), { low: 0, high: 1 });
});

test("passes are counted by kind, in the order of the tasks", () => {
  const rates = passRates([
    { kind: "b", passed: true },
    { kind: "a", passed: false },
    { kind: "b", passed: false },
  ]);
  assert.deepEqual(
    rates.map(({ kind, passed, total }) => [kind, passed, total]),
    [
      ["b", 1, 2],
      ["a", 0, 1],
    ],
  );
});
