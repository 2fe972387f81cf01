// Runs the compiled tests with Node's own runner, so that workers and child processes are the shipped ones.
// Arguments choose test files by a part of their path: `node scripts/test.mjs gguf recipe`.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const wanted = process.argv.slice(2);
const files = readdirSync(join(root, "dist"), { recursive: true })
  .filter((file) => file.endsWith(".test.js"))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .map((file) => join("dist", file))
  .sort();
if (files.length === 0) {
  console.error(`no test file matches: ${wanted.join(" ")}`);
  process.exit(1);
}
const reporter = process.env.CI ? "spec" : "dot";
const result = spawnSync(
  process.execPath,
  ["--enable-source-maps", "--test", "--test-timeout=300000", `--test-reporter=${reporter}`, ...files],
  {
    cwd: root,
    stdio: "inherit",
  },
);
process.exit(result.status ?? 1);
