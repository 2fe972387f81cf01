// Writes tiny random models of architectures that llama.cpp runs; its own loader says which tensors they have.
//
//   node scripts/tiny-models.mjs FOLDER [NAME ...]    all of them, or those of these names
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Engine } from "../dist/engine/engine.js";
import { tinyArchitectures } from "../dist/testing/architectures/index.js";
import { writeTinyModel } from "../dist/testing/architectures/write.js";

const [folder, ...names] = process.argv.slice(2);
if (folder === undefined) {
  console.error("usage: node scripts/tiny-models.mjs FOLDER [NAME ...]");
  process.exit(2);
}
await mkdir(folder, { recursive: true });
const engine = new Engine();
for (const name of names.length > 0 ? names : Object.keys(tinyArchitectures)) {
  try {
    await writeTinyModel(engine, name, join(folder, `${name}.gguf`));
    console.log(name);
  } catch (error) {
    console.log(`${name}: FAILED: ${error.message}`);
    process.exitCode = 1;
  }
}
await engine.close();
