import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { Engine } from "../../engine/engine.js";
import { fixture } from "../../testing/command.js";
import { temporaryFolder } from "../../testing/temporary.js";
import { sensitivity } from "./measure.js";

const engine = new Engine();
after(() => engine.close());

test("one sweep over the layers finds what the whole model tells, tensor after tensor", async (t) => {
  const folder = await temporaryFolder(t);
  const measure = async (name: string, layersPerWindow?: number) =>
    await sensitivity({
      model: fixture("tiny-moe-q8_0.gguf"),
      text: fixture("text/calibration.txt"),
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
