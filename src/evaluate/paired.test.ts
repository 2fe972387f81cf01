import assert from "node:assert/strict";
import { test } from "node:test";
import { studentQuantile } from "../intervals.js";
import { uniform } from "../testing/random.js";
import { pairedDifference } from "./paired.js";
import type { ChunkScore } from "./scores.js";

function chunks(values: readonly number[], positions = 255): ChunkScore[] {
  return values.map((kld) => ({ positions, nll: 1, kld }));
}

test("quantiles of Student's t are those of the tables", () => {
  for (const [degrees, quantile] of [
    [1, 12.706],
    [5, 2.571],
    [9, 2.262],
    [30, 2.042],
    [120, 1.98],
  ] as const) {
    assert.ok(Math.abs(studentQuantile(degrees) - quantile) < 1.5e-3, `${degrees}`);
  }
});

test("intervals hold what other text shows 95 times of 100, from few chunks as from many", () => {
  const next = uniform(11);
  for (const count of [4, 12, 60]) {
    let held = 0;
    const runs = 2000;
    const measure = () => {
      const hard = Array.from({ length: count }, () => next());
      const first = chunks(hard.map((value) => value + 0.02 + 0.1 * (next() - 0.5)));
      return pairedDifference([first], [chunks(hard)], ({ kld }) => kld);
    };
    for (let run = 0; run < runs; run++) {
      const [found, again] = [measure(), measure()];
      held += found && again && found.low <= again.difference && found.high >= again.difference ? 1 : 0;
    }
    assert.ok(held / runs > 0.92 && held / runs < 0.975, `${count} chunks: ${held / runs}`);
  }
});

test("chunks weigh by their scored positions, and must be the same", () => {
  const first = [...chunks([1, 1], 100), ...chunks([4], 300)];
  const second = [...chunks([0, 0], 100), ...chunks([0], 300)];
  assert.equal(pairedDifference([first], [second], ({ kld }) => kld)?.difference, (100 + 100 + 1200) / 500);
  assert.equal(
    pairedDifference([first], [chunks([0, 0, 0])], ({ kld }) => kld),
    undefined,
  );
  assert.equal(
    pairedDifference([first], [second.slice(1)], ({ kld }) => kld),
    undefined,
  );
});

test("that texts differ from each other is no error of the difference on all of them", () => {
  const second = [chunks([0, 0, 0, 0]), chunks([0, 0, 0, 0])];
  const [easy, hard] = [chunks([1, 1.2, 1, 1.2]), chunks([9, 9.2, 9, 9.2])];
  const found = pairedDifference([easy, hard], second, ({ kld }) => kld);
  assert.equal(found?.difference.toFixed(6), "5.100000");
  // Two means of four values with a variance of 0.04 / 3, weighted by one half each.
  assert.equal(found?.error.toFixed(6), Math.sqrt((0.04 / 3 / 4) * 0.5).toFixed(6));
});
