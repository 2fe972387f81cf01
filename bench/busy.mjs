// The demo on this machine as it is, and with two other processes busy on each core: how many times as long it takes.
//
//   node bench/busy.mjs [--processes 2] [--threads N]
//
// --threads gives the demo a fixed number of threads, for comparison. The first run is as quiet as the machine is: its
// load average is written down with the result.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeResult } from "./result.mjs";

const program = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const { values } = parseArgs({
  options: { processes: { type: "string", default: "2" }, threads: { type: "string" } },
});

/** Seconds of a demo in a folder of its own. */
async function demo() {
  const folder = mkdtempSync(join(tmpdir(), "lopsided-busy-"));
  const options = values.threads === undefined ? [] : ["--threads", values.threads];
  const begin = performance.now();
  try {
    await new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [program, "demo", "-o", join(folder, "demo"), ...options], {
        stdio: ["ignore", "ignore", "inherit"],
      });
      child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`exit code ${code}`))));
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return (performance.now() - begin) / 1000;
}

const load = loadavg()[0];
const quiet = await demo();
const others = Array.from({ length: Number(values.processes) * availableParallelism() }, () =>
  spawn(process.execPath, ["-e", "for (;;) {}"], { stdio: "ignore" }),
);
let busy;
try {
  busy = await demo();
} finally {
  for (const other of others) {
    other.kill("SIGKILL");
  }
}
const result = {
  threads: values.threads ?? "chosen",
  otherProcesses: others.length,
  loadBefore: load,
  quietSeconds: quiet,
  busySeconds: busy,
  times: busy / quiet,
};
console.log(JSON.stringify(result, undefined, 2));
writeResult("out/bench-busy.json", result);
