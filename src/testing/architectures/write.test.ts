import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Engine } from "../../engine/engine.js";
import { computeLogits } from "../../engine/jobs.js";
import { openModel } from "../../model/open.js";
import { temporaryFolder } from "../temporary.js";
import { writeTinyModel } from "./write.js";

test("llama.cpp names all tensors of an architecture, and computes with the tiny model made of them", async (t) => {
  const folder = await temporaryFolder(t);
  const engine = new Engine();
  t.after(() => engine.close());
  const path = join(folder, "qwen35moe-mtp.gguf");
  await writeTinyModel(engine, "qwen35moe-mtp", path);

  const source = await openModel(path);
  await source.close();
  const shapes = new Map(source.tensors.map(({ name, shape }) => [name, shape]));
  assert.deepEqual(shapes.get("blk.0.attn_qkv.weight"), [256, 512]);
  assert.deepEqual(shapes.get("blk.4.nextn.eh_proj.weight"), [512, 256]);
  assert.equal(shapes.has("blk.4.attn_qkv.weight"), false);

  const logits = await engine.run(computeLogits, { model: { path }, tokens: [1, 2, 3], threads: 1 });
  assert.equal(logits.length, 2048);
  assert.ok(logits.every(Number.isFinite));
  assert.ok(new Set(logits).size > 2000);

  const again = join(folder, "again.gguf");
  await writeTinyModel(engine, "qwen35moe-mtp", again);
  assert.ok((await readFile(path)).equals(await readFile(again)));
});
