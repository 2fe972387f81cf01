// Drops experts from tiny models and has llama.cpp run what is left. On a text of one word, over and over, most experts
// are never chosen; without some of those a model must compute the same, unless the weights of the chosen ones are
// shares among all experts.
//
//   node scripts/compare-pruned.mjs [NAME ...]    tiny models of these names, or all with experts
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Engine } from "../dist/engine/engine.js";
import { perplexity } from "../dist/evaluate/measure.js";
import { imatrix } from "../dist/imatrix/compute.js";
import { prune } from "../dist/quantize/prune.js";
import { tinyArchitectures } from "../dist/testing/architectures/index.js";
import { writeTinyModel } from "../dist/testing/architectures/write.js";

const names = Object.entries(tinyArchitectures)
  .filter(([, { keys }]) => keys.expert_count)
  .map(([name]) => name);
const wanted = process.argv.length > 2 ? process.argv.slice(2) : names;
const experts = 6;

/** Perplexities of a model and of the same model with fewer experts, and how much the dropped ones had added. */
async function compare(engine, folder, name) {
  const [model, output, text, statistics] = ["model.gguf", "pruned.gguf", "text.txt", "imatrix.gguf"].map(
    (file) => join(folder, file),
  );
  await writeTinyModel(engine, name, model);
  await writeFile(text, " the".repeat(64));
  const run = { text, ctx: 16, chunks: 1, threads: 1, engine };
  await imatrix({ ...run, model, output: statistics, expertOutputs: true });
  const { layers } = await prune({ model, output, experts, imatrix: statistics, threads: 0 });
  const pplOf = async (of) => (await perplexity({ ...run, model: of })).ppl;
  const lost = Math.max(...layers.map((layer) => layer.lost ?? 0));
  return { lost, before: await pplOf(model), after: await pplOf(output) };
}

for (const name of wanted) {
  const folder = await mkdtemp(join(tmpdir(), "lopsided-pruned-"));
  const engine = new Engine();
  try {
    const { lost, before, after } = await compare(engine, folder, name);
    const isSame = lost === 0 && Math.abs(after / before - 1) < 1e-4;
    const verdict = isSame ? "the same" : `runs, with ${(100 * lost).toFixed(2)} % of a layer lost`;
    console.log(`${name}: ${verdict}, perplexity ${before} and ${after}`);
    process.exitCode ||= Number.isFinite(after) ? 0 : 1;
  } catch (error) {
    console.log(`${name}: FAILED: ${error.message}`);
    process.exitCode = 1;
  } finally {
    await engine.close();
    await rm(folder, { recursive: true });
  }
}
