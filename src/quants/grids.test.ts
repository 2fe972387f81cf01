import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { packedGridsSource } from "../testing/read-grids.js";
import { evenSigns, iq2SGrid, iq3SGrid } from "./grids.js";

describe("the grids of the IQ formats", () => {
  it("are what the generator reads out of llama.cpp", () => {
    const file = new URL("../../src/quants/grids-packed.ts", import.meta.url);
    assert.ok(readFileSync(file, "utf8") === packedGridsSource(), "run node scripts/generate-grids.mjs");
  });

  it("unpack to distinct points of the format's levels", () => {
    for (const [grid, group, points] of [
      [iq2SGrid, 8, 1024],
      [iq3SGrid, 4, 512],
    ] as const) {
      const seen = new Set<string>();
      for (let at = 0; at < grid.length; at += group) {
        seen.add(grid.subarray(at, at + group).join());
      }
      assert.equal(seen.size, points);
    }
    assert.deepEqual(
      [...new Set(iq2SGrid)].sort((a, b) => a - b),
      [8, 25, 43],
    );
  });
});

describe("evenSigns", () => {
  it("adds the sign that makes the number of minus signs even", () => {
    for (let stored = 0; stored < 128; stored++) {
      const signs = evenSigns(stored);
      assert.equal(signs & 127, stored);
      assert.equal(signs.toString(2).replaceAll("0", "").length % 2, 0);
    }
  });
});
