// Writes tiny models with experts of 96 columns, pads them in the types they have, and compares what llama.cpp computes
// of both: what the table in src/model/padded-experts.ts says must hold. What may differ is the last bit of a product,
// as it does between tokens computed together and one by one; that difference of the model to itself is the measure.
//
//   node scripts/compare-padded.mjs [NAME ...]    all that the table has, or tiny models of these names
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Engine } from "../dist/engine/engine.js";
import { computeLogits } from "../dist/engine/jobs.js";
import { paddableArchitectures } from "../dist/model/padded-experts.js";
import { quantize } from "../dist/quantize/quantize.js";
import { tinyArchitectures } from "../dist/testing/architectures/index.js";
import { writeTinyModel } from "../dist/testing/architectures/write.js";

const wanted = process.argv.slice(2);
const tokens = Array.from({ length: 24 }, (_, i) => 3 + 17 * i);
const width = 96;
const names = Object.entries(tinyArchitectures)
  .filter(([, { architecture }]) => paddableArchitectures.includes(architecture))
  .map(([name]) => name);

const largestOf = (values) => Math.max(...values.map(Math.abs));
const differenceOf = (some, others) => largestOf(some.map((value, i) => value - others[i]));

/**
 * Largest difference between the logits of a model and of the same model with padded experts, and between its own
 * computed together and one by one; and the largest logit.
 */
async function compare(engine, folder, name) {
  const [path, output] = [join(folder, "model.gguf"), join(folder, "padded.gguf")];
  await writeTinyModel(engine, name, path, { expert_feed_forward_length: width });
  await quantize({ model: path, output, base: "COPY", padExperts: true, restart: true, threads: 0 });
  const logitsOf = (model, options) =>
    engine.run(computeLogits, { model: { path: model }, tokens, threads: 1, ...options });
  const before = await logitsOf(path);
  return {
    difference: differenceOf(before, await logitsOf(output)),
    floor: differenceOf(before, await logitsOf(path, { microBatchSize: 1 })),
    largest: largestOf(before),
  };
}

for (const name of wanted.length > 0 ? wanted : names) {
  const folder = await mkdtemp(join(tmpdir(), "lopsided-padded-"));
  const engine = new Engine();
  try {
    const { difference, floor, largest } = await compare(engine, folder, name);
    const isSame = difference <= Math.max(1.5 * floor, 1e-6 * largest);
    console.log(
      `${name}: ${isSame ? "the same" : "DIFFERS"}, by ${difference} of ${largest}; one by one ${floor}`,
    );
    process.exitCode ||= isSame ? 0 : 1;
  } catch (error) {
    console.log(`${name}: FAILED: ${error.message}`);
    process.exitCode = 1;
  } finally {
    await engine.close();
    await rm(folder, { recursive: true });
  }
}
