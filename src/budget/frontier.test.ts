import assert from "node:assert/strict";
import { test } from "node:test";
import { allocate } from "./allocate.js";
import type { AllocationOption } from "./allocation.js";
import { Frontier } from "./frontier.js";

/** Items whose options have costs that no formula made. */
const items: AllocationOption[][] = Array.from({ length: 12 }, (_, item) =>
  Array.from({ length: 6 }, (_, option) => ({
    bytes: (option + 1) * (40 + 7 * (item % 4)),
    cost: (1 + ((item * 37) % 11)) / (1 + option) ** (1 + ((item + option) % 3) / 4),
  })),
);

test("a point of the frontier is the best allocation of its size", async () => {
  const frontier = new Frontier(items);
  for (const { bytes, cost } of frontier.points) {
    const best = await allocate(items, bytes);
    assert.ok(best !== undefined && Math.abs(best.cost - cost) <= 1e-5 * cost, `${cost} at ${bytes}`);
  }
});

test("between two points the last one that fits is taken, and its choice adds up", () => {
  const frontier = new Frontier(items);
  const [first, second] = frontier.points;
  assert.ok(first !== undefined && second !== undefined);
  assert.equal(frontier.within(first.bytes - 1), undefined);
  const within = frontier.within(second.bytes - 1);
  assert.equal(within?.bytes, first.bytes);
  const last = frontier.within(1e9);
  const chosen = last?.choice.map((option, item) => items[item]?.[option]);
  assert.equal(
    chosen?.reduce((sum, option) => sum + (option?.bytes ?? 0), 0),
    frontier.points.at(-1)?.bytes,
  );
});
