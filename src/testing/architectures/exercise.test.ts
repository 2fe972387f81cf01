import assert from "node:assert/strict";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { Engine } from "../../engine/engine.js";
import { temporaryFolder } from "../temporary.js";
import { exercise } from "./exercise.js";
import { writeTinyModel } from "./write.js";

// Two of the rows of docs/architectures.md, which `scripts/architectures.mjs` writes.
describe("all commands, with their defaults", () => {
  const engine = new Engine();
  after(() => engine.close());

  for (const name of ["qwen35moe-mtp", "gpt-oss-odd"]) {
    it(`end well on ${name}`, async (t) => {
      const folder = await temporaryFolder(t);
      const model = join(folder, `${name}.gguf`);
      await writeTinyModel(engine, name, model);
      const { other, asym, mixture, planned, warnings, cache } = await exercise(model, folder, engine);
      assert.deepEqual(other, []);
      assert.equal(cache.formulaBytes, cache.bytes);
      for (const { divergence } of [asym, mixture, planned]) {
        assert.ok(divergence >= 0 && divergence < 1, String(divergence));
      }
      assert.ok(planned.bpw <= 5.01, String(planned.bpw));
      assert.deepEqual(
        warnings.filter((warning) => warning.includes("has nothing about")),
        [],
      );
    });
  }
});
