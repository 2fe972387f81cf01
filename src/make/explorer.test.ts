import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { Engine } from "../engine/engine.js";
import { Explorer } from "../explore/explorer.js";
import { type PageData, unpackModel } from "../explore/page-data.js";
import { defaultSettings } from "../explore/settings.js";
import { writeTinyModel } from "../testing/architectures/write.js";
import { fixture, lopsided } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";
import type { MakeResult } from "./make.js";

const engine = new Engine();
after(() => engine.close());

test("make puts the page of all sizes beside the report, with what was measured, and takes it away again", async (t) => {
  const folder = await temporaryFolder(t);
  const made = join(folder, "made");
  const source = join(folder, "tiny.gguf");
  // Few tensors: what takes long is measuring the errors of all types.
  await writeTinyModel(engine, "qwen3moe", source, { block_count: 1, expert_count: 4, expert_used_count: 2 });
  const args = ["make", source, "-o", made, "--threads", "1", "--json"];
  args.push("--calibration", fixture("text/calibration.txt"), "--chunks", "4", "--ctx-calibration", "64");
  args.push("--evaluate", fixture("text/eval.txt"), "--evaluate-chunks", "2", "--ctx-evaluate", "64");
  args.push("--baseline", "none", "--no-check", "--bpw", "4", "--sensitivity-chunks", "1");
  const outcome = await lopsided(args);
  assert.equal(outcome.status, 0, outcome.stderr);
  const page = await readFile(join(made, "explorer.html"), "utf8");
  const [, data = ""] = /<script type="application\/json" id="page-data">(.*?)<\/script>/.exec(page) ?? [];
  const { model: packed } = JSON.parse(data) as PageData;
  const { model, knowledge } = await unpackModel(packed!);
  assert.equal(knowledge.sensitivity?.name, "sensitivity.json");
  assert.equal(knowledge.curves?.size, 9);
  const { quantize: result, evaluate } = JSON.parse(outcome.stdout) as MakeResult;
  const explorer = new Explorer(model, defaultSettings, knowledge);
  const types = new Map(result.tensors.map(({ name, to }) => [name, to]));
  const measured = evaluate!.model.evaluation.kld!.mean;
  assert.ok(Math.abs(explorer.predictedOf(types) / measured - 1) < 1e-9);
  assert.ok(!page.includes(folder), "where files lie is nobody's business");
  assert.match(await readFile(join(made, "report.html"), "utf8"), /<a href="explorer\.html">/);
  const planned = await lopsided(["publish", made, "hf://some-one/tiny", "--dry-run", "--json"]);
  assert.match(planned.stdout, /explorer\.html/);

  const again = await lopsided([...args, "--no-explorer"]);
  assert.ok((JSON.parse(again.stdout) as MakeResult).skipped.includes("quantize"), again.stderr);
  assert.ok(!existsSync(join(made, "explorer.html")));
});
