// The demo and tests on this machine as it is, and with two other processes busy on each core: how many times as long
// each takes.
//
//   node bench/busy.mjs [--processes 2] [--threads N] [--tests all|PATTERN,...] [--no-demo]
//
// --threads gives the demo a fixed number of threads, for comparison; --tests also runs the tests whose path contains a
// pattern, on what is built. The first run of each is as quiet as the machine is: its load average is written down with
// the result.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeResult } from "./result.mjs";

const file = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const { values } = parseArgs({
  allowNegative: true,
  options: {
    processes: { type: "string", default: "2" },
    threads: { type: "string" },
    tests: { type: "string" },
    demo: { type: "boolean", default: true },
    json: { type: "string", default: "out/bench-busy.json" },
  },
});

/** Seconds that a program of ours takes. */
async function secondsOf(args) {
  const begin = performance.now();
  await new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`exit code ${code}`))));
  });
  return (performance.now() - begin) / 1000;
}

/** Seconds of a demo in a folder of its own. */
async function demo() {
  const folder = mkdtempSync(join(tmpdir(), "lopsided-busy-"));
  const options = values.threads === undefined ? [] : ["--threads", values.threads];
  try {
    return await secondsOf([file("dist/cli/main.js"), "demo", "-o", join(folder, "demo"), ...options]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const patterns = values.tests === undefined || values.tests === "all" ? [] : values.tests.split(",");
const works = [
  ...(values.demo ? [["demo", demo]] : []),
  ...(values.tests === undefined
    ? []
    : [[`tests: ${values.tests}`, () => secondsOf([file("scripts/test.mjs"), ...patterns])]]),
];
const runs = [];
for (const [work, run] of works) {
  const load = loadavg()[0];
  const quiet = await run();
  const others = Array.from({ length: Number(values.processes) * availableParallelism() }, () =>
    spawn(process.execPath, ["-e", "for (;;) {}"], { stdio: "ignore" }),
  );
  let busy;
  try {
    busy = await run();
  } finally {
    for (const other of others) {
      other.kill("SIGKILL");
    }
  }
  runs.push({
    work,
    threads: values.threads ?? "chosen",
    otherProcesses: others.length,
    loadBefore: load,
    quietSeconds: quiet,
    busySeconds: busy,
    times: busy / quiet,
  });
}
console.log(JSON.stringify(runs, undefined, 2));
writeResult(values.json, { runs });
