import assert from "node:assert/strict";
import { appendFile, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { Engine } from "../engine/engine.js";
import { CancelledError, UsageError } from "../errors.js";
import { fixture } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";
import { perplexity } from "./measure.js";
import { MeasureCheckpoint } from "./measure-checkpoint.js";
import type { PerplexityOptions } from "./perplexity-command.js";

const model = fixture("tiny-moe-q8_0.gguf");
const engine = new Engine();
after(() => engine.close());

async function measure(options: Partial<PerplexityOptions> = {}) {
  const defaults = { ctx: 64, chunks: 70, parseSpecial: true, threads: 1, engine };
  const result = await perplexity({ model, text: fixture("text/eval.txt"), ...defaults, ...options });
  // Routers are compared in runs in one go only.
  const { seconds: _, tokensPerSecond: __, routing: ___, ...numbers } = result;
  return numbers;
}

test("a measurement that was stopped, in a window or while it scored, ends with the same numbers", async (t) => {
  const folder = await temporaryFolder(t);
  const reference = join(folder, "reference.gguf");
  await writeFile(reference, await readFile(model));
  // A run that goes on later finds no floor.
  const whole = await measure({ reference, floor: false });
  for (const [layersPerWindow, share] of [
    [undefined, 0.3],
    [2, 0.3],
    [2, 0.85],
  ] as const) {
    const options = { reference, layersPerWindow, checkpoint: join(folder, "checkpoint") };
    const abort = new AbortController();
    const stopped = measure({
      ...options,
      signal: abort.signal,
      onProgress: ({ step, done = 0 }) => step === "perplexity" && done >= share * 70 && abort.abort(),
    });
    await assert.rejects(stopped, CancelledError);
    const places: number[] = [];
    const resumed = await measure({
      ...options,
      onProgress: ({ step, done = 0 }) => step === "perplexity" && places.push(done),
    });
    assert.deepEqual(resumed, whole);
    assert.ok((places[0] ?? 0) > 0, `began at ${places[0]}`);
    assert.deepEqual(await readdir(folder), ["reference.gguf"]);
  }
});

test("scores survive to the bit; what a crash left of a line does not matter, nor does another run's file", async (t) => {
  const path = join(await temporaryFolder(t), "checkpoint");
  const scores = [
    { chunk: 0, score: { nll: 0.1 + 0.2, comparison: undefined } },
    {
      chunk: 1,
      score: { nll: 5e-324, comparison: { referenceNll: Infinity, divergence: -0, sameTop: true } },
    },
  ];
  const first = await MeasureCheckpoint.open(path, "a");
  await first.saveScores(2, [scores]);
  await first.close();
  await appendFile(path, '{"end":3,"scores":["AAAA');
  const second = await MeasureCheckpoint.open(path, "a");
  assert.deepEqual([second.chunks, second.scores(0)], [2, scores]);
  await second.saveScores(4, [scores]);
  await second.close();
  const third = await MeasureCheckpoint.open(path, "a");
  assert.deepEqual([third.chunks, third.scores(0)], [4, [...scores, ...scores]]);
  await third.close();
  const other = await MeasureCheckpoint.open(path, "b");
  assert.deepEqual([other.chunks, other.scores(0)], [0, []]);
  await other.close();
  await writeFile(path, "my novel\n");
  await assert.rejects(MeasureCheckpoint.open(path, "a"), UsageError);
  assert.equal(await readFile(path, "utf8"), "my novel\n");
});
