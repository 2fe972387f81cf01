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

mkdirSync(new URL("../dist/quants/kernels", import.meta.url), { recursive: true });
const kernels = ["src/quants/kernels/assembly/index.ts", "-o", "dist/quants/kernels/kernels.wasm"];
// stub: nothing is allocated; abort: no imports, kernels never trap on purpose.
run(
  "npx",
  "--no-install",
  "asc",
  ...kernels,
  ..."-O3 --enable simd --runtime stub --noAssert --use abort=".split(" "),
);
