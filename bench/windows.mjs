// Calibration of a model larger than memory: windows of layers against llama.cpp's memory map, under the same limits
// in the same run. Linux with control groups of version 1, as root.
//
//   node scripts/random-model.mjs /tmp/random.gguf --layers 8
//   node bench/windows.mjs /tmp/random.gguf --chunks 8 --memory 2GB --rate 200MB
//
// --cases abc: a as the machine is, b with the memory limit, c with a limited disk too. --ways windows,map: one of them
// alone. Runs are added to those that the JSON file has, in place of an earlier one with the same limits and chunks.
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parseSize } from "../dist/contract/size.js";
import { writeResult } from "./result.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    chunks: { type: "string", default: "8" },
    memory: { type: "string", default: "6GB" },
    rate: { type: "string", default: "200MB" },
    threads: { type: "string" },
    cases: { type: "string", default: "abc" },
    ways: { type: "string", default: "windows,map" },
    json: { type: "string", default: "out/bench-windows.json" },
  },
});
const [model] = positionals;
const memory = parseSize(values.memory);
const rate = parseSize(values.rate);
const once = fileURLToPath(new URL("windows-once.mjs", import.meta.url));
const groupOf = (controller) => {
  const line = readFileSync("/proc/self/cgroup", "utf8")
    .split("\n")
    .find((text) => text.split(":")[1]?.split(",").includes(controller));
  return `/sys/fs/cgroup/${controller}${line?.split(":")[2] ?? ""}`.replace(/\/$/, "");
};

/** Runs one calibration in a control group of its own. */
async function run(way, options, limits) {
  // Nothing of the model is in the page cache.
  writeFileSync("/proc/sys/vm/drop_caches", "1");
  const [memoryGroup, diskGroup] = ["memory", "blkio"].map((name) => `${groupOf(name)}/lopsided-bench`);
  for (const group of [memoryGroup, diskGroup]) {
    mkdirSync(group, { recursive: true });
  }
  if (limits.memory) {
    writeFileSync(`${memoryGroup}/memory.limit_in_bytes`, `${limits.memory}`);
  }
  const { dev } = statSync(model);
  const device = `${(dev >> 8) & 0xfff}:${dev & 0xff}`;
  writeFileSync(`${diskGroup}/blkio.throttle.read_bps_device`, `${device} ${limits.rate ?? 0}`);
  // Of its own, so that no unfinished run is continued.
  const folder = mkdtempSync(join(tmpdir(), "lopsided-bench-"));
  const params = JSON.stringify({
    model,
    output: join(folder, "imatrix.gguf"),
    chunks: Number(values.chunks),
    ...(values.threads && { threads: Number(values.threads) }),
    ...options,
  });
  const enter = [memoryGroup, diskGroup].map((group) => `echo $$ > ${group}/cgroup.procs`).join(" && ");
  const child = spawn("sh", ["-c", `${enter} && exec "$0" "$@"`, process.execPath, once, params], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (part) => (output += part));
  let peak = 0;
  const watch = setInterval(() => {
    const stat = readFileSync(`${memoryGroup}/memory.stat`, "utf8");
    const bytes = (name) => Number(new RegExp(`^total_${name} (\\d+)$`, "m").exec(stat)?.[1] ?? 0);
    peak = Math.max(peak, bytes("rss") + bytes("shmem"));
  }, 200);
  const status = await new Promise((resolve) => child.once("close", resolve));
  clearInterval(watch);
  rmSync(folder, { recursive: true });
  const service = readFileSync(`${diskGroup}/blkio.throttle.io_service_bytes`, "utf8");
  const readBytes = Number(new RegExp(`^${device} Read (\\d+)$`, "m").exec(service)?.[1] ?? 0);
  for (const group of [memoryGroup, diskGroup]) {
    rmdirSync(group);
  }
  const figures = status === 0 ? JSON.parse(output) : { failed: status };
  const gigabytes = (bytes) => Number((bytes / 1e9).toFixed(2));
  const chunks = Number(values.chunks);
  const result = {
    way,
    ...limits,
    chunks,
    ...figures,
    readGB: gigabytes(readBytes),
    peakGB: gigabytes(peak),
  };
  console.log(JSON.stringify(result));
  const isSame = (run) => ["way", "memory", "rate", "chunks"].every((name) => run[name] === result[name]);
  const earlier = existsSync(values.json) ? JSON.parse(readFileSync(values.json, "utf8")).results.runs : [];
  const runs = [...earlier.filter((run) => !isSame(run)), result];
  writeResult(values.json, { bytes: statSync(model).size, runs });
}

const options = {
  windows: { maxMemory: 0.95 * memory },
  map: { ignoreMemoryLimit: true, maxMemory: 2 ** 50 },
};
const cases = { a: {}, b: { memory }, c: { memory, rate } };
for (const letter of values.cases) {
  for (const way of values.ways.split(",")) {
    await run(way, options[way], cases[letter]);
  }
}
