// Runs the compiled tests with Node's own runner, so that workers and child processes are the shipped ones.
//   node scripts/test.mjs gguf recipe   only test files whose path contains one of these
//   node scripts/test.mjs --fast        only those that start no process, browser or model
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const words = process.argv.slice(2);
const wanted = words.filter((word) => !word.startsWith("--"));

/** What a slow test imports: the command line, the engine, servers and browsers, sandboxes, the fuzzer. */
const slowImports =
  /from "[^"]*(?:testing\/(?:command|serve|browser|fuzz\/[a-z]+|engine-jobs|faulty-disk|isolated-[a-z]+)|engine\/(?:engine|library|model)|(?:sandbox|isolation)\/[a-z-]+|(?:\.\/|imatrix\/)compute|evaluate\/measure|\.\/(?:python|isolated|fuzz|guard[a-z-]*|confinement|attacks?))\.js"/;

/** Searches by brute force, and every encoder with every effort. */
const slowFiles = /grid-encode|scaled-encode|output-aware|allocate|mixture/;

const files = readdirSync(join(root, "dist"), { recursive: true })
  .filter((file) => file.endsWith(".test.js"))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .map((file) => join("dist", file))
  .filter((file) => !words.includes("--fast") || isFast(file))
  .sort();
if (files.length === 0) {
  console.error(`no test file matches: ${wanted.join(" ")}`);
  process.exit(1);
}

function isFast(file) {
  return !slowFiles.test(file) && !slowImports.test(readFileSync(join(root, file), "utf8"));
}

// The last line says how many passed, after whatever the other reporter has to say of failures.
const folder = mkdtempSync(join(tmpdir(), "lopsided-tests-"));
const summary = join(folder, "summary");
const result = spawnSync(
  process.execPath,
  [
    "--enable-source-maps",
    "--test",
    // Of a file that hangs; long enough for the longest one (two minutes) on a machine whose cores others have.
    "--test-timeout=900000",
    // Node's own number is one less; many files wait for processes and disks.
    `--test-concurrency=${availableParallelism()}`,
    ...[`--test-reporter=${process.env.CI ? "spec" : "dot"}`, "--test-reporter-destination=stdout"],
    ...["--test-reporter=./scripts/test-summary.mjs", `--test-reporter-destination=${summary}`],
    ...files,
  ],
  { cwd: root, stdio: "inherit" },
);
process.stdout.write(readFileSync(summary, "utf8"));
rmSync(folder, { recursive: true });
process.exit(result.status ?? 1);
