import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { slicesOf } from "./slices.js";

describe("slices of a tensor", () => {
  it("cover every row once, in order, and never cross an expert", () => {
    for (const shape of [[256], [256, 1], [2048, 768, 5], [151936, 40], [64, 100_000], [4_000_000, 3, 2]]) {
      const rowsPerMatrix = shape[1] ?? 1;
      let next = 0;
      for (const { firstRow, rows, expert } of slicesOf(shape)) {
        assert.equal(firstRow, next);
        assert.ok(rows > 0);
        assert.equal(Math.floor(firstRow / rowsPerMatrix), expert);
        assert.equal(Math.floor((firstRow + rows - 1) / rowsPerMatrix), expert);
        next += rows;
      }
      assert.equal(
        next,
        shape.slice(1).reduce((a, b) => a * b, 1),
      );
    }
  });

  it("stay small however large the tensor is", () => {
    for (const { rows } of slicesOf([2048, 1_000_000])) {
      assert.ok(rows * 2048 <= 1 << 20);
    }
  });
});
