import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Progress } from "../progress.js";
import { MakeProgress } from "./progress.js";

function setUp(weights: Readonly<Record<string, number>>) {
  const clock = { seconds: 0 };
  const events: Progress[] = [];
  const stages = Object.entries(weights).map(([name, weight]) => ({ name, weight }));
  const progress = new MakeProgress(
    stages,
    (event) => events.push(event),
    () => clock.seconds,
  );
  return { clock, progress, last: () => events.at(-1)! };
}

describe("the progress of all stages", () => {
  it("is one bar, in the proportions of the stages", () => {
    const { progress, last } = setUp({ imatrix: 60, quantize: 40 });
    progress.stage({ stage: "imatrix", event: "begins", because: undefined });
    progress.update({ step: "imatrix", done: 5, total: 10, unit: "chunks" });
    assert.deepEqual([last().done, last().total, last().step], [300, 1000, "make"]);
    assert.equal(last().detail, "1/2 imatrix 5/10 chunks");
    progress.stage({ stage: "imatrix", event: "finished", seconds: 1 });
    progress.stage({ stage: "quantize", event: "begins", because: undefined });
    progress.update({ step: "hash", done: 1, total: 4, unit: "tensors", detail: "x" });
    assert.deepEqual([last().done, last().detail], [700, "2/2 quantize: hash 1/4 tensors, x"]);
  });

  it("never goes back inside a stage, and does not count loading", () => {
    const { progress, last } = setUp({ evaluate: 1 });
    progress.stage({ stage: "evaluate", event: "begins", because: undefined });
    progress.update({ step: "load", done: 90, total: 100, unit: "%" });
    assert.equal(last().done, 0);
    progress.update({ step: "perplexity of the reference", done: 9, total: 10, unit: "chunks" });
    progress.update({ step: "perplexity", done: 1, total: 10, unit: "chunks" });
    assert.equal(last().done, 900);
  });

  it("learns from the stages of this run how fast the machine is", () => {
    const { clock, progress, last } = setUp({ a: 100, b: 100, c: 100 });
    progress.stage({ stage: "a", event: "skipped" });
    assert.equal(last().secondsLeft, 200);
    progress.stage({ stage: "b", event: "begins", because: undefined });
    clock.seconds = 400;
    progress.stage({ stage: "b", event: "finished", seconds: 400 });
    const left = last().secondsLeft ?? 0;
    assert.ok(left > 370 && left < 400, String(left));
  });
});
