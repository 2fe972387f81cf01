import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { renderCard } from "../report/card.js";
import { renderEvaluation } from "../report/evaluation.js";
import { renderReport } from "../report/report.js";
import { lopsided } from "../testing/command.js";
import { tinyEvaluation } from "../testing/evaluation.js";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lopsided-card-"));
  await writeFile(join(folder, "evaluation.json"), renderEvaluation(tinyEvaluation()));
});
after(() => rm(folder, { recursive: true, force: true }));

test("card writes the card of a folder and says where", async () => {
  const { status, stdout } = await lopsided(["card", folder, "--quantized-by", "someone", "--json"]);
  const output = join(folder, "README.md");
  assert.equal(status, 0);
  assert.deepEqual(JSON.parse(stdout), { output });
  assert.equal(await readFile(output, "utf8"), renderCard(tinyEvaluation(), { quantizedBy: "someone" }));
});

test("report writes the report of a folder and says where", async () => {
  const { status, stdout } = await lopsided(["report", folder, "--json"]);
  const output = join(folder, "report.html");
  assert.equal(status, 0);
  assert.deepEqual(JSON.parse(stdout), { output });
  assert.equal(await readFile(output, "utf8"), renderReport(tinyEvaluation()));
});

test("a folder without an evaluation is an error in one sentence", async () => {
  for (const command of ["card", "report"]) {
    const { status, stderr } = await lopsided([command, join(folder, "nothing")]);
    assert.equal(status, 1);
    assert.match(stderr, /^lopsided: .*evaluation\.json: there is no such file; `lopsided make` writes it/);
  }
});
