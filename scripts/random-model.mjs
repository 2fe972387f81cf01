// Writes a Q8_0 model of Qwen3-Coder-30B-A3B's geometry with random weights, or one in a recipe's types, and if asked
// an importance matrix.
//
//   node scripts/random-model.mjs /tmp/random.gguf --layers 12 --imatrix /tmp/random-imatrix.gguf
//   node scripts/random-model.mjs /tmp/random-asym.gguf --recipe asym-2bit-experts
//
// All 48 layers take 32.5 GB, one takes 0.66 GB besides 0.66 GB for embedding and output.
import { parseArgs } from "node:util";
import { writeRandomImatrix, writeRandomModel } from "../bench/random-model.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    layers: { type: "string", default: "48" },
    recipe: { type: "string" },
    imatrix: { type: "string" },
  },
});
const layers = Number(values.layers);
const [path] = positionals;
if (path === undefined || !(layers >= 1 && layers <= 48)) {
  console.error(
    "usage: node scripts/random-model.mjs OUT.gguf [--layers 1..48] [--recipe NAME] [--imatrix OUT.gguf]",
  );
  process.exit(2);
}
const weights = await writeRandomModel(path, layers, { recipe: values.recipe });
console.log(`${path}: ${layers} layers, ${(weights / 1e9).toFixed(2)} B weights`);
if (values.imatrix !== undefined) {
  await writeRandomImatrix(values.imatrix, layers);
}
