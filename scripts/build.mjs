// Compiles src/ to dist/: TypeScript with tsc.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
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
