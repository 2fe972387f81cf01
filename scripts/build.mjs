// Compiles src/ to dist/: TypeScript with tsc, the SIMD kernels from AssemblyScript with asc.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

function run(command, ...args) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

if (process.argv.includes("--clean"))
  rmSync(new URL("../dist", import.meta.url), { recursive: true, force: true });
run("npx", "--no-install", "tsc", "-p", ".");

// stub: nothing is allocated; abort: no imports, kernels never trap on purpose.
const options = "-O3 --enable simd --runtime stub --noAssert --use abort=".split(" ");
for (const [source, module] of [
  ["quants/kernels/assembly/index.ts", "quants/kernels/kernels.wasm"],
  ["reduce/assembly/index.ts", "reduce/reduce.wasm"],
]) {
  mkdirSync(new URL(`../dist/${module}/..`, import.meta.url), { recursive: true });
  run("npx", "--no-install", "asc", `src/${source}`, "-o", `dist/${module}`, ...options);
}
