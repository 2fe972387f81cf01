import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { writeTinyModel } from "../testing/architectures/write.js";
import { temporaryFolder } from "../testing/temporary.js";
import { Engine } from "./engine.js";
import { computeLogits } from "./jobs.js";

const engine = new Engine();
after(() => engine.close());

for (const name of ["deepseek2", "deepseek4", "qwen35moe", "jamba"]) {
  test(`${name} is computed on this processor, also if it has tiles for matrices`, async (t) => {
    const path = join(await temporaryFolder(t), "model.gguf");
    await writeTinyModel(engine, name, path);
    const tokens = [5, 6, 7, 8];
    const logits = await engine.run(computeLogits, { model: { path }, tokens, threads: 1 });
    assert.ok(logits.every(Number.isFinite));
  });
}
