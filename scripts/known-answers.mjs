// Records what the SIMD modules answer to their known-answer tests, after one was changed on purpose and its tests pass:
// node scripts/build.mjs && node scripts/known-answers.mjs && node scripts/build.mjs
import { readFileSync, writeFileSync } from "node:fs";

const modules = [
  ["quants/kernels", "kernels.wasm"],
  ["quants/output-aware", "output-aware.wasm"],
  ["reduce", "reduce.wasm"],
];
for (const [folder, name] of modules) {
  const { ask, questions } = await import(`../dist/${folder}/self-test.js`);
  const wasm = readFileSync(new URL(`../dist/${folder}/${name}`, import.meta.url));
  const module = new WebAssembly.Module(wasm);
  const lines = questions(module).map((name) => `  ${name}: "${ask(module, name)}",\n`);
  const file = new URL(`../src/${folder}/known-answers.ts`, import.meta.url);
  const [head] = readFileSync(file, "utf8").split("= {");
  writeFileSync(file, `${head}= {\n${lines.join("")}};\n`);
}
