// Puts a tiny model of every architecture with experts through inspect, fit, imatrix, perplexity, plan, and for a preset,
// a quant mix and the plan through quantize, verify and perplexity; writes what came of it into docs/architectures.md.
//
//   node scripts/architectures.mjs [NAME ...]    all of them, or those of these names
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Engine } from "../dist/engine/engine.js";
import { exercise } from "../dist/testing/architectures/exercise.js";
import { tinyArchitectures } from "../dist/testing/architectures/index.js";
import { architecturesTable, figures } from "../dist/testing/architectures/table.js";
import { writeTinyModel } from "../dist/testing/architectures/write.js";

const page = new URL("../docs/architectures.md", import.meta.url);
const withExperts = Object.keys(tinyArchitectures).filter(
  (name) => tinyArchitectures[name].keys.expert_count,
);
const names = process.argv.length > 2 ? process.argv.slice(2) : withExperts;
const engine = new Engine();
const outcomes = new Map();
for (const name of names) {
  const folder = await mkdtemp(join(tmpdir(), "lopsided-architecture-"));
  try {
    const model = join(folder, `${name}.gguf`);
    await writeTinyModel(engine, name, model);
    const outcome = await exercise(model, folder, engine);
    outcomes.set(name, outcome);
    const { asym, mixture, planned, cache } = outcome;
    const made = [asym, mixture, planned].map(figures);
    console.log(
      `${name}: ${made.join(", ")}; cache by ${cache.source} ${cache.bytes}, by formula ${cache.formulaBytes}`,
    );
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
const text = await readFile(page, "utf8");
const begin = text.indexOf("| model ");
await writeFile(page, text.slice(0, begin) + architecturesTable(text.slice(begin), outcomes));
