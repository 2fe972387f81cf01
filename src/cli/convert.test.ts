import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { openGguf } from "../model/gguf-model.js";
import { rowCount } from "../model/source.js";
import { fixture, lopsided } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";

const folderOfTiny = fixture("tiny-moe");

describe("lopsided convert", () => {
  for (const type of ["bf16", "q8_0"]) {
    it(`writes the tensors that gguf-py wrote as ${type}`, async (t) => {
      const output = join(await temporaryFolder(t), "out.gguf");
      const outcome = await lopsided(["convert", folderOfTiny, output, "--type", type, "--json"]);
      assert.equal(outcome.status, 0, outcome.stderr);
      const reference = JSON.parse(await readFile(fixture("reference/tensors.json"), "utf8"))[type];
      assert.equal(JSON.parse(outcome.stdout).tensors, Object.keys(reference).length);
      const model = await openGguf(output);
      t.after(() => model.close());
      for (const { name, shape, type, readRows } of model.tensors) {
        const sha256 = createHash("sha256")
          .update(await readRows(0, rowCount(shape)))
          .digest("hex");
        assert.deepEqual({ type, shape, sha256 }, reference[name], name);
      }
    });
  }

  it("refuses a folder that lacks a tensor, naming it, and writes nothing", async (t) => {
    const folder = await temporaryFolder(t);
    await cp(folderOfTiny, join(folder, "model"), { recursive: true });
    const config = join(folder, "model", "config.json");
    const text = await readFile(config, "utf8");
    await writeFile(config, text.replace('"num_hidden_layers": 4', '"num_hidden_layers": 5'));
    const outcome = await lopsided([
      "convert",
      join(folder, "model"),
      join(folder, "out.gguf"),
      "--type",
      "bf16",
    ]);
    assert.equal(outcome.status, 1);
    assert.match(outcome.stderr, /model\.layers\.4\./);
    assert.deepEqual(await readdir(folder), ["model"]);
  });

  it("refuses an unknown type with the list of types", async (t) => {
    const folder = await temporaryFolder(t);
    const outcome = await lopsided(["convert", folderOfTiny, join(folder, "out.gguf"), "--type", "q4_k"]);
    assert.equal(outcome.status, 2);
    assert.match(outcome.stderr, /bf16, f16, f32/i);
  });
});
