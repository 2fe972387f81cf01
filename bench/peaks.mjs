// Runs a lopsided command and prints the most memory that it and the processes it started had at once (PSS, so that
// what they share counts once), and the most bytes that a folder took meanwhile besides the output.
//
//   node bench/peaks.mjs --folder DIR -- quantize MODEL DIR/out.gguf --recipe asym-2bit-experts --effort max \
//     --calibration TEXT --calibration-tokens 65536 --no-keep-activations --allow-requantize
//
// With --seconds N the command is stopped after so many. DIR must not exist.
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { descendantsOf } from "./processes.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { folder: { type: "string" }, seconds: { type: "string" } },
});
const { folder, seconds } = values;
if (folder === undefined || positionals.length === 0) {
  console.error("usage: node bench/peaks.mjs --folder DIR [--seconds N] -- COMMAND ARGUMENTS...");
  process.exit(2);
}
mkdirSync(folder);
const everyMs = 500;

/** Numbers of a process and all that it started; of none while one of them ends. */
function family(pid) {
  try {
    return [pid, ...descendantsOf(pid)];
  } catch {
    return [];
  }
}

function pssOf(pid) {
  try {
    return 1024 * Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Bytes on the disk, without the output itself, whose size is known. */
function bytesIn(path) {
  return readdirSync(path, { recursive: true })
    .filter((name) => !/\.gguf(?:\.partial)?$/.test(name) || name.includes(".calibration"))
    .reduce((sum, name) => {
      const found = statSync(join(path, name), { throwIfNoEntry: false });
      return sum + (found?.isFile() ? 512 * found.blocks : 0);
    }, 0);
}

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const started = performance.now();
const child = spawn(process.execPath, [main, ...positionals], { stdio: "inherit" });
const peaks = { memoryBytes: 0, diskBytes: 0, seconds: 0 };
const stop =
  seconds === undefined ? undefined : setTimeout(() => child.kill("SIGINT"), 1000 * Number(seconds));
const sampling = setInterval(() => {
  const memory = family(child.pid).reduce((sum, pid) => sum + pssOf(pid), 0);
  peaks.memoryBytes = Math.max(peaks.memoryBytes, memory);
  peaks.diskBytes = Math.max(peaks.diskBytes, bytesIn(folder));
}, everyMs);
child.on("exit", (code) => {
  clearInterval(sampling);
  clearTimeout(stop);
  peaks.seconds = (performance.now() - started) / 1000;
  console.log(JSON.stringify({ code, ...peaks }));
});
