import assert from "node:assert/strict";
import { test } from "node:test";
import { ThreadTuner, ThreadTuners } from "./thread-tuner.js";

/** Decodes of 100 tokens on a machine where they take `milliseconds(threads)`: the numbers of threads used, in order. */
function decodes(tuner: ThreadTuner, count: number, milliseconds: (threads: number) => number): number[] {
  return Array.from({ length: count }, () => {
    const { threads } = tuner;
    tuner.record(100, milliseconds(threads));
    return threads;
  });
}

const quiet = (threads: number) => 1000 / threads;
/** Of 16 cores as many are taken as make threads beyond `free` spin. */
const busy = (free: number) => (threads: number) => (threads <= free ? 1000 / threads : 1000 * threads);

test("on a quiet machine all threads are taken after the first decodes", () => {
  const tuner = new ThreadTuner(16);
  decodes(tuner, 6, quiet);
  assert.equal(tuner.best, 16);
  assert.deepEqual(decodes(tuner, 10, quiet), Array(10).fill(16));
});

test("on a machine where threads wait for one another one is taken; where half are free, half", () => {
  for (const [most, free, expected] of [
    [2, 1, 1],
    [16, 1, 1],
    [16, 8, 8],
    [6, 3, 3],
    [1, 1, 1],
  ] as const) {
    const tuner = new ThreadTuner(most);
    decodes(tuner, 8, busy(free));
    assert.equal(tuner.best, expected, `${free} of ${most}`);
  }
});

test("when the rate falls the number is chosen anew, and again when the machine is quiet", () => {
  const tuner = new ThreadTuner(2);
  decodes(tuner, 10, quiet);
  assert.equal(tuner.best, 2);
  decodes(tuner, 100, busy(1));
  assert.equal(tuner.best, 1);
  decodes(tuner, 1000, quiet);
  assert.equal(tuner.best, 2);
});

test("measuring costs no more than a twentieth of the time", () => {
  for (const machine of [quiet, busy(1)]) {
    const tuner = new ThreadTuner(2);
    const best = Math.min(machine(1), machine(2));
    const spent = decodes(tuner, 2000, machine).reduce((sum, threads) => sum + machine(threads), 0);
    assert.ok(spent < 1.05 * 2000 * best + 3000, `${spent} ms`);
  }
});

test("a context begins with what was best before", () => {
  const tuners = new ThreadTuners(16);
  decodes(tuners.of({ weightsBytes: 1e9, tokens: 2048, isWatched: true }), 10, busy(1));
  const next = tuners.of({ weightsBytes: 1e9, tokens: 2048, isWatched: false });
  assert.equal(next.threads, 1);
  assert.equal(tuners.of({ weightsBytes: 1e9, tokens: 2000, isWatched: true }).best, 1);
});
