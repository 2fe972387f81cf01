import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { Engine } from "../engine/engine.js";
import { perplexity } from "../evaluate/measure.js";
import { quantize } from "../quantize/quantize.js";
import { fixture, lopsided } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";
import { compare } from "./compare.js";

const source = fixture("tiny-moe-q8_0.gguf");
const texts = [`tasks=${fixture("text/eval.txt")}`, `notes=${fixture("text/calibration.txt")}`];
const engine = new Engine();
after(() => engine.close());

async function made(folder: string, recipe: string): Promise<string> {
  const output = join(folder, `${recipe}.gguf`);
  await quantize({ model: source, output, recipe, effort: "fast", allowRequantize: true });
  return output;
}

test("files are compared in one run as each is alone, with paired differences, a table and a chart", async (t) => {
  const folder = await temporaryFolder(t);
  const models = [await made(folder, "Q4_0"), await made(folder, "Q2_K")];
  const [markdown, chart] = [join(folder, "table.md"), join(folder, "chart.svg")];
  const options = { ctx: 64, chunks: 8, threads: 1, engine };
  const result = await compare({ source, models, texts, markdown, chart, ...options });
  for (const [at, model] of models.entries()) {
    const {
      model: _,
      tokens: __,
      tokensPerSecond: ___,
      seconds: ____,
      floor,
      context: _____,
      chunks: ______,
      ...alone
    } = await perplexity({ model, text: texts, reference: source, ...options });
    const {
      name: _______,
      path,
      bytes: ________,
      bpw: _________,
      worst,
      difference,
      ...figures
    } = result.models[at]!;
    assert.equal(path, model);
    assert.deepEqual(result.floor, floor);
    assert.deepEqual(figures, alone);
    assert.equal(worst?.kld, Math.max(...alone.texts.map(({ kld }) => kld!.mean)));
    assert.equal(difference === undefined, at === 0);
  }
  const { difference } = result.models[1]!;
  assert.equal(difference!.chunks, 16);
  assert.ok(difference!.difference > 2 * difference!.error, "fewer bits are worse, which 16 chunks show");
  const table = await readFile(markdown, "utf8");
  assert.match(table, /^\| model \| bytes \|/);
  assert.match(table, /\| Q2\\?_K \| \d+ \| 3\.\d\d \|.*\| [+−]0\.\d+ to \+0\.\d+ \|/);
  const svg = await readFile(chart, "utf8");
  assert.match(svg, /^<svg[^>]* xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  assert.match(svg, /aria-label="Mean KL divergence from tiny-moe-q8_0[^"]*Q2_K on tasks/);
});

test("the command line takes several files and texts, and overwrites none of them", async (t) => {
  const folder = await temporaryFolder(t);
  const args = [
    "compare",
    source,
    source,
    "--ctx",
    "64",
    "--chunks",
    "2",
    ...texts.flatMap((text) => ["-f", text]),
  ];
  const { stdout, status, stderr } = await lopsided(args);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /KLD mean by text +scored tokens/);
  assert.match(stdout, /tasks +62 +0\.000000 ± 0\.000000/);
  const clash = await lopsided([...args, "--markdown", fixture("text/eval.txt")]);
  assert.equal(clash.status, 2);
  const missing = await lopsided([...args, "--texts", join(folder, "none.txt")]);
  assert.match(missing.stderr, /none\.txt: cannot be read/);
});
