import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fill, gaussian, uniform } from "../testing/random.js";
import { searchResidues } from "./residue-search.js";
import { integers, progressions, type ScaleFit, searchScale } from "./scale-search.js";

const quantize = integers(-32, 31);

function search(x: Float32Array, w: Float32Array): ScaleFit {
  const fit: ScaleFit = { scale: 0, curvature: 0 };
  searchResidues(x, w, 0, 3, fit);
  return fit;
}

/** Weighted squared error of a block with the nearest codes. */
function errorOf(x: Float32Array, w: Float32Array, scale: number): number {
  return x.reduce((sum, value, i) => sum + w[i]! * (value - scale * quantize(value / scale)) ** 2, 0);
}

describe("the search by residues", () => {
  it("finds the scale of whole multiples, whatever the sign of the largest", () => {
    for (let largest = 21; largest <= 32; largest++) {
      for (const unit of [0.01, -3]) {
        const next = uniform(largest);
        const x = fill(16, next).map((value) => Math.round((2 * value - 1) * (largest - 1)) * unit);
        x[5] = -largest * unit;
        const { scale } = search(x, fill(16, uniform(7)));
        assert.ok(Math.abs(scale / unit - 1) < 1e-3, `${largest}, ${unit}: ${scale}`);
      }
    }
  });

  it("does not take the lowest code for the largest weight if its opposite would be out of reach", () => {
    const x = Float32Array.from({ length: 16 }, (_, i) => (i % 2 ? 1 : -1));
    const w = new Float32Array(16).fill(1);
    const { scale } = search(x, w);
    assert.ok(errorOf(x, w, scale) < 1e-6, `${scale}`);
  });

  it("finds scales as good as a search with floating point does", () => {
    const candidates = progressions([-32, -31, -30, -29], [4, 4, 4, 4], [0, 1, 2]);
    let found = 0;
    let expected = 0;
    for (let block = 0; block < 200; block++) {
      const x = fill(16, gaussian(block));
      const w = fill(16, gaussian(block + 1000)).map(Math.exp);
      const fit: ScaleFit = { scale: 0, curvature: 0 };
      searchScale(x, w, 0, 16, quantize, candidates, 3, fit);
      expected += errorOf(x, w, fit.scale);
      found += errorOf(x, w, search(x, w).scale);
    }
    assert.ok(found < 1.02 * expected, `${found / expected}`);
  });

  it("finds nothing where there is next to nothing", () => {
    const tiny = fill(16, gaussian(1)).map((value) => 1e-30 * value);
    assert.deepEqual(search(tiny, new Float32Array(16).fill(1)), { scale: 0, curvature: 0 });
  });
});
