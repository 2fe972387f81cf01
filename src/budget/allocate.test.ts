import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { uniform } from "../testing/random.js";
import { allocate } from "./allocate.js";
import { type AllocationOption, smallestBytes } from "./allocation.js";

/** Items like tensors: costs fall with bytes, more or less. */
function randomItems(seed: number, count: number, options: number): AllocationOption[][] {
  const random = uniform(seed);
  return Array.from({ length: count }, () => {
    const blocks = 1 + Math.floor(50 * random());
    const weight = random();
    return Array.from({ length: options }, (_, i) => ({
      bytes: 32 * blocks * (2 + i),
      cost: weight * 2 ** -i * (0.7 + 0.6 * random()),
    }));
  });
}

/** The least cost of all allocations, one after the other. */
function exhaustive(items: readonly (readonly AllocationOption[])[], budget: number): number {
  let least = Infinity;
  const visit = (item: number, bytes: number, cost: number) => {
    if (bytes > budget) {
      return;
    }
    const options = items[item];
    if (options === undefined) {
      least = Math.min(least, cost);
      return;
    }
    for (const option of options) {
      visit(item + 1, bytes + option.bytes, cost + option.cost);
    }
  };
  visit(0, 0, 0);
  return least;
}

describe("allocate", () => {
  it("finds what trying all allocations finds", async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const items = randomItems(seed, 6, 5);
      const smallest = smallestBytes(items);
      const budget = Math.floor(smallest * (1 + 0.12 * seed));
      const found = await allocate(items, budget);
      assert.ok(found !== undefined && found.bytes <= budget);
      assert.ok(Math.abs(found.cost - exhaustive(items, budget)) <= 1e-5 * found.cost, `seed ${seed}`);
      assert.equal(found.gap, 0);
      const sum = found.choice.reduce((total, at, item) => total + items[item]![at]!.bytes, 0);
      assert.equal(sum, found.bytes);
    }
  });

  it("uses a budget to the last byte, and not a byte more", async () => {
    const items = [
      [
        { bytes: 10, cost: 5 },
        { bytes: 20, cost: 1 },
      ],
      [
        { bytes: 7, cost: 3 },
        { bytes: 8, cost: 2 },
      ],
    ];
    assert.deepEqual((await allocate(items, 28))?.choice, [1, 1]);
    assert.deepEqual((await allocate(items, 27))?.choice, [1, 0]);
    assert.deepEqual((await allocate(items, 17))?.choice, [0, 0]);
    assert.equal(await allocate(items, 16), undefined);
  });

  it("handles items with one option and options that cost nothing", async () => {
    const found = await allocate([[{ bytes: 3, cost: 0 }], [{ bytes: 5, cost: 0 }]], 8);
    assert.deepEqual(found, { choice: [0, 0], bytes: 8, cost: 0, bound: 0, gap: 0 });
  });

  it("proves the allocation of 600 tensors with 20 types", async () => {
    const items = randomItems(99, 600, 20);
    const found = await allocate(items, Math.floor(smallestBytes(items) * 1.6));
    assert.ok(found !== undefined && found.gap <= 1e-3, `gap ${found?.gap}`);
  });
});
