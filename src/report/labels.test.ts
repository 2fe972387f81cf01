import assert from "node:assert/strict";
import { test } from "node:test";
import { placeLabels } from "./labels.js";

const area = { width: 300, height: 200 };

test("a name stands beside its point, on the side where there is room", () => {
  const [left, right] = placeLabels(
    [
      { text: "left", x: 10, y: 100 },
      { text: "right", x: 290, y: 100 },
    ],
    area,
  );
  assert.deepEqual(left, { anchor: "start", dx: 10, dy: 0 });
  assert.deepEqual(right, { anchor: "end", dx: -10, dy: 0 });
});

test("names of points in the same place stand above one another", () => {
  const places = placeLabels(
    Array.from({ length: 4 }, () => ({ text: "model", x: 50, y: 100 })),
    area,
  );
  const heights = places.map(({ dy }) => dy).sort((a, b) => a - b);
  for (const [i, height] of heights.entries()) {
    if (i > 0) {
      assert.ok(height - heights[i - 1]! >= 16);
    }
  }
});
