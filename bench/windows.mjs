// A model larger than memory: windows of layers against llama.cpp's memory map, under the same limits in the same run.
// Linux with control groups of version 1, as root.
//
//   node scripts/random-model.mjs /tmp/random.gguf --layers 8
//   node bench/windows.mjs /tmp/random.gguf --chunks 8 --memory 2GB --rate 200MB
//
// --cases abc: a as the machine is, b with the memory limit, c with a limited disk too. --ways windows,map: one of them
// alone; `resident` (only if asked for) is bare decodes of layers that are in memory. --quantized FILE: a comparison of
// that file with the model, which is its reference, in place of a calibration. Runs are added to those that the JSON
// file has, in place of an earlier one with the same limits and chunks.
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
import { openGguf } from "../dist/model/gguf-model.js";
import { writeRandomModel } from "./random-model.mjs";
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
    quantized: { type: "string" },
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

/** Runs one process in a control group of its own. */
async function run(way, subject, options, limits) {
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
    subject,
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
    ...(subject === "perplexity" && { subject }),
    ...limits,
    chunks,
    ...figures,
    readGB: gigabytes(readBytes),
    peakGB: gigabytes(peak),
  };
  console.log(JSON.stringify(result));
  const isSame = (run) =>
    ["way", "subject", "memory", "rate", "chunks"].every((name) => run[name] === result[name]);
  const earlier = existsSync(values.json) ? JSON.parse(readFileSync(values.json, "utf8")).results.runs : [];
  const runs = [...earlier.filter((run) => !isSame(run)), result];
  writeResult(values.json, { bytes: statSync(model).size, runs });
}

/** How many layers the model has. */
async function layersOf(path) {
  const source = await openGguf(path);
  await source.close();
  const architecture = source.metadata.get("general.architecture").value;
  return source.metadata.get(`${architecture}.block_count`).value;
}

/** Models with fewer layers of the same shapes, which fit in memory. */
async function residentModels() {
  const folder = mkdtempSync(join(tmpdir(), "lopsided-bench-"));
  const models = await Promise.all(
    [2, 8].map(async (layers) => {
      const path = join(folder, `${layers}.gguf`);
      await writeRandomModel(path, layers);
      return { path, layers };
    }),
  );
  return { folder, models };
}

const compared = values.quantized && { model: values.quantized, reference: model };
const subject = compared ? "perplexity" : "imatrix";
const ways = {
  windows: { maxMemory: 0.95 * memory },
  map: { ignoreMemoryLimit: true, maxMemory: 2 ** 50 },
};
const cases = { a: {}, b: { memory }, c: { memory, rate } };
for (const letter of values.cases) {
  for (const way of values.ways.split(",")) {
    if (way === "resident") {
      const { folder, models } = await residentModels();
      const [few, many] = models;
      await run(way, "resident", { few, many, layers: await layersOf(model) }, cases.a);
      rmSync(folder, { recursive: true });
    } else {
      await run(way, subject, { model, ...compared, ...ways[way] }, cases[letter]);
    }
  }
}
