// Puts a tiny model of every architecture with experts through inspect, fit, imatrix, perplexity, quantize (a preset, a
// quant mix, a plan), verify and plan, and writes the table of docs/architectures.md.
//
//   node scripts/architectures.mjs [NAME ...]    all of them, or those of these names (then the page is left alone)
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Engine } from "../dist/engine/engine.js";
import { exercise } from "../dist/testing/architectures/exercise.js";
import { tinyArchitectures } from "../dist/testing/architectures/index.js";
import { architecturesTable } from "../dist/testing/architectures/table.js";
import { writeTinyModel } from "../dist/testing/architectures/write.js";

const page = new URL("../docs/architectures.md", import.meta.url);
const names = process.argv.slice(2);
const engine = new Engine();
const outcomes = new Map();
for (const name of names.length > 0 ? names : Object.keys(tinyArchitectures)) {
  const folder = await mkdtemp(join(tmpdir(), "lopsided-architecture-"));
  try {
    const model = join(folder, `${name}.gguf`);
    await writeTinyModel(engine, name, model);
    const outcome = await exercise(model, folder, engine);
    outcomes.set(name, outcome);
    const { asym, mixture, planned, cache } = outcome;
    const figures = [asym, mixture, planned].map(({ bpw, divergence }) => `${bpw.toFixed(2)}: ${divergence.toFixed(3)}`);
    console.log(`${name}: ${figures.join(", ")}; cache ${cache.bytes} ${cache.source} ${cache.formulaBytes}`);
    for (const note of [...outcome.other.map((tensor) => `no role: ${tensor}`), ...outcome.warnings]) {
      console.log(`  ${note}`);
    }
  } catch (error) {
    outcomes.set(name, error);
    console.log(`${name}: FAILED: ${error.message}`);
    process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true });
  }
}
await engine.close();
if (names.length === 0) {
  const text = await readFile(page, "utf8");
  await writeFile(page, text.replace(/(?<=<!-- table -->\n)[^]*(?=<!-- end of table -->)/, architecturesTable(outcomes)));
}
