import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { Engine } from "../../engine/engine.js";
import { CancelledError } from "../../errors.js";
import { fixture } from "../../testing/command.js";
import { temporaryFolder } from "../../testing/temporary.js";
import { sensitivity } from "./measure.js";

const engine = new Engine();
const tiny = fixture("tiny-moe-q8_0.gguf");
const text = fixture("text/calibration.txt");
after(() => engine.close());

test("one sweep over the layers finds what the whole model tells, tensor after tensor", async (t) => {
  const folder = await temporaryFolder(t);
  const measure = async (name: string, layersPerWindow?: number) =>
    await sensitivity({
      model: tiny,
      text,
      output: join(folder, name),
      parseSpecial: true,
      ctx: 128,
      chunks: 2,
      threads: 1,
      layersPerWindow,
      engine,
    });
  const [whole, sweep] = [await measure("whole.json"), await measure("sweep.json", 1)];
  assert.deepEqual([whole.method, sweep.method], ["whole", "sweep"]);
  assert.deepEqual(
    sweep.tensors.map(({ name }) => name),
    whole.tensors.map(({ name }) => name),
  );
  const total = (result: typeof whole, part: RegExp) =>
    result.tensors.filter(({ name }) => part.test(name)).reduce((sum, { alpha }) => sum + alpha, 0);
  for (const part of [/^output/, /blk/, /./]) {
    const ratio = total(sweep, part) / total(whole, part);
    assert.ok(ratio > 0.6 && ratio < 1.6, `${part}: ${ratio}`);
  }
  assert.ok(sweep.tensors.every(({ alpha }) => alpha > 0));
  assert.ok(Math.abs(sweep.backgroundKld / whole.backgroundKld - 1) < 0.5);
  await measure("again.json", 1);
  assert.deepEqual(await readFile(join(folder, "again.json")), await readFile(join(folder, "sweep.json")));
});

test("a sweep that is stopped goes on after its last whole window, and tells the same", async (t) => {
  const folder = await temporaryFolder(t);
  const measure = async (name: string, stopAt = Infinity) => {
    const stop = new AbortController();
    const seen: number[] = [];
    const result = sensitivity({
      model: tiny,
      text,
      output: join(folder, name),
      parseSpecial: true,
      ctx: 64,
      chunks: 2,
      threads: 1,
      layersPerWindow: 1,
      engine,
      signal: stop.signal,
      onProgress: ({ done }) => {
        seen.push(done);
        if (done >= stopAt) {
          stop.abort();
        }
      },
    });
    return { seen, result: await result.catch((error: Error) => error) };
  };
  const { seen } = await measure("whole.json");
  const total = seen.length;
  for (const share of [0.4, 0.7]) {
    const { result } = await measure("resumed.json", share * total);
    assert.ok(result instanceof CancelledError);
  }
  const last = await measure("resumed.json");
  assert.ok((last.seen[0] ?? 0) > 0.4 * total, `it went on at ${last.seen[0]} of ${total}`);
  assert.deepEqual(await readFile(join(folder, "resumed.json")), await readFile(join(folder, "whole.json")));
  assert.deepEqual((await readdir(folder)).sort(), ["resumed.json", "whole.json"]);
});
