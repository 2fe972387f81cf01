// Records what the kernels answer to the self-test, after a kernel was changed on purpose and its tests pass:
// node scripts/build.mjs && node scripts/known-answers.mjs && node scripts/build.mjs
import { readFileSync, writeFileSync } from "node:fs";
import { answers } from "../dist/quants/kernels/self-test.js";

const wasm = readFileSync(new URL("../dist/quants/kernels/kernels.wasm", import.meta.url));
const lines = Object.entries(answers(new WebAssembly.Module(wasm))).map(
  ([name, answer]) => `  ${name}: "${answer}",\n`,
);
const file = new URL("../src/quants/kernels/known-answers.ts", import.meta.url);
const [head] = readFileSync(file, "utf8").split("= {");
writeFileSync(file, `${head}= {\n${lines.join("")}};\n`);
