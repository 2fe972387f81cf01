// A queue of machines, with a Redis server of its own: processor time of a coordinator with 1, 2 and 3 workers of one
// thread each, and of one process with as many threads (two on one core each take longer than one), the same bytes;
// slices per second where slices cost nothing; the coordinator's processor time for each slice of usual size.
//
//   npm run -s build && node bench/queue.mjs [--experts 16] [--workers 1,2,3] [--free 3000] [--per-expert] [--json FILE]
//
// With --per-expert gate and up have a matrix of moments for each expert, as down always has, not one for the layer.
// The model is one layer of the 30B geometry with random weights and fewer experts: all 128 take hours on two cores.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeImatrixFile } from "../dist/imatrix/file.js";
import { openModel } from "../dist/index.js";
import { writeMomentsFile } from "../dist/moments/file.js";
import { inputOf } from "../dist/moments/inputs.js";
import { packedRow } from "../dist/quants/output-aware/packed.js";
import { EncoderPool } from "../dist/quants/pool.js";
import { Coordinator } from "../dist/queue/coordinator.js";
import { QueueTranscoder } from "../dist/queue/queue-transcoder.js";
import { spectralMoments } from "../dist/testing/moments.js";
import { TestRedis } from "../dist/testing/redis.js";
import { writeRandomModel } from "./random-model.mjs";
import { writeResult } from "./result.mjs";

const { values: options } = parseArgs({
  options: {
    experts: { type: "string", default: "16" },
    workers: { type: "string", default: "1,2,3" },
    free: { type: "string", default: "3000" },
    "per-expert": { type: "boolean", default: false },
    json: { type: "string", default: "out/bench-queue.json" },
  },
});
const experts = Number(options.experts);
const tokens = 65536;
const token = "the-token-of-this-bench";
const program = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
/** Has a process say at its end how much processor time it took, threads included. */
const tellingCpu = `data:text/javascript,${encodeURIComponent(
  'import { writeSync } from "node:fs"; process.on("exit", () => { const { user, system } = process.cpuUsage(); writeSync(2, "cpu " + (user + system) / 1e6 + "\\n"); });',
)}`;
const folder = mkdtempSync(join(tmpdir(), "lopsided-bench-"));
const redis = await TestRedis.start(folder);
const onQueue = ["--queue", redis.url, "--token", token];

/** Starts a command; `ended` resolves with its output and processor time. */
function start(args) {
  const child = spawn(process.execPath, ["--import", tellingCpu, program, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (text) => {
    stdout += text;
  });
  child.stderr.on("data", (text) => {
    stderr += text;
  });
  const ended = once(child, "close").then(([code]) => {
    if (code !== 0) {
      throw new Error(stderr);
    }
    return { stdout, cpuSeconds: Number(/^cpu (.*)$/m.exec(stderr)[1]) };
  });
  return { child, ended };
}

async function startWorkers(count, threads = 1) {
  const workers = Array.from({ length: count }, () =>
    start(["worker", ...onQueue, "--threads", String(threads)]),
  );
  await Promise.all(workers.map(({ child }) => once(child.stdout, "data")));
  return async () => {
    for (const { child } of workers) {
      child.kill("SIGINT");
    }
    const ended = await Promise.all(workers.map((worker) => worker.ended));
    return ended.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
  };
}

/** One layer's experts, with moments that differ for each expert, as real ones do. */
async function writeModel() {
  const paths = ["layer.gguf", "experts.yaml", "moments.gguf", "imatrix.gguf"].map((name) =>
    join(folder, name),
  );
  const [model, recipe, moments, imatrix] = paths;
  writeFileSync(
    recipe,
    "name: experts\nbase: COPY\nrules:\n  - { tensors: [routed.gate, routed.up], type: IQ2_S }\n  - { tensors: [routed.down], type: IQ3_S }\n",
  );
  const weights = await writeRandomModel(model, 1, {
    keep: ({ name }) => /^blk\.\d+\.ffn_\w+_exps\./.test(name),
    experts,
  });
  const source = await openModel(model);
  const [inputs, entries] = [new Map(), new Map()];
  for (const { name, shape } of source.tensors) {
    const { name: input, routedIn } = inputOf(name);
    const [n] = shape;
    const sums = spectralMoments(n, 0.6);
    const isOne = routedIn && !options["per-expert"];
    const counts = isOne ? [tokens] : Array(experts).fill((tokens * 8) / 128);
    const matrix = (expert) => sums.map((sum) => sum * (1 + expert / 1000));
    inputs.set(input, { name: input, columns: n, counts: Float64Array.from(counts), matrix });
    entries.set(name, {
      sums: Float32Array.from({ length: n * experts }, (_, i) => 1000 * sums[packedRow(n, i % n)]),
      counts: new Float64Array(experts).fill(1000),
    });
  }
  await source.close();
  const facts = { datasets: ["made up"], chunkCount: 1, chunkSize: 512 };
  await writeMomentsFile(moments, facts, [...inputs.values()]);
  await writeImatrixFile(
    imatrix,
    { name: imatrix, format: "gguf", entries, priorWeight: undefined, ...facts },
    "gguf",
  );
  return { model, recipe, moments, imatrix, weights };
}

function quantizing({ model, recipe, moments, imatrix }, output, effort, threads = 1) {
  return [
    ...["quantize", model, join(folder, output), "--recipe", recipe, "--imatrix", imatrix, "--json"],
    ...["--allow-requantize", "--restart", "-t", `${threads}`, "--effort", effort],
    ...(effort === "max" ? ["--moments", moments] : []),
  ];
}

async function processorTime() {
  const files = await writeModel();
  const plain = await start(quantizing(files, "default.gguf", "default")).ended;
  const counts = options.workers.split(",").map(Number);
  const singles = [];
  for (const threads of counts) {
    singles.push(await start(quantizing(files, `single-${threads}.gguf`, "max", threads)).ended);
  }
  const [single] = singles;
  const { sha256 } = JSON.parse(single.stdout);
  // What a worker takes that gets nothing to do: it starts, and is told to go.
  const startSeconds = await (await startWorkers(1))();
  const runs = [];
  for (const [at, workers] of counts.entries()) {
    const stop = await startWorkers(workers);
    const run = await start([...quantizing(files, `${workers}.gguf`, "max"), ...onQueue, "--no-local"]).ended;
    const cpuSeconds = run.cpuSeconds + (await stop());
    const isSame = JSON.parse(run.stdout).sha256 === sha256;
    const { cpuSeconds: singleSeconds } = singles[at];
    const ratio = cpuSeconds / singleSeconds;
    runs.push({ workers, cpuSeconds, coordinatorSeconds: run.cpuSeconds, singleSeconds, ratio, isSame });
    console.log(
      `${workers} workers: ${cpuSeconds.toFixed(1)} s of processor time, ${run.cpuSeconds.toFixed(1)} s of it the coordinator's, ${ratio.toFixed(3)} of a single process' with as many threads; ${isSame ? "the same" : "OTHER"} bytes`,
    );
  }
  const microseconds = {
    default: (1e6 * plain.cpuSeconds) / files.weights,
    max: (1e6 * single.cpuSeconds) / files.weights,
  };
  return {
    experts,
    weights: files.weights,
    startSeconds,
    microseconds,
    runs,
  };
}

/** Slices through the queue as fast as they go. */
async function throughput(workers, count, rows, columns, targetType) {
  const stop = await startWorkers(workers);
  const coordinator = await Coordinator.open({ queue: redis.url, token, kind: "slices" });
  const here = new EncoderPool(0);
  const encoders = new QueueTranscoder(coordinator, here);
  const weights = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i));
  const slice = (i) => {
    weights[0] = i; // each has other bytes
    const source = new Uint8Array(weights.buffer.slice(0));
    return {
      ...{ label: "free", firstRow: 0, sourceType: "F32", targetType, columns },
      ...{ source, effort: "fast" },
    };
  };
  const through = async (total) => {
    let begun = 0;
    const one = async () => {
      while (begun < total) {
        await encoders.transcode(slice(begun++));
      }
    };
    await Promise.all(Array.from({ length: 16 * workers }, one));
  };
  await through(Math.min(200, count));
  const before = process.cpuUsage();
  const started = performance.now();
  await through(count);
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(before);
  await coordinator.close();
  await here.close();
  await stop();
  const result = { workers, perSecond: count / seconds, coordinatorMs: (user + system) / 1000 / count };
  console.log(
    `${workers} workers, slices of ${rows * columns} weights: ${result.perSecond.toFixed(0)} per second, ${result.coordinatorMs.toFixed(2)} ms of the coordinator's processor time each`,
  );
  return result;
}

try {
  const free = Number(options.free);
  const empty = [await throughput(1, free, 1, 32, "Q8_0"), await throughput(3, free, 1, 32, "Q8_0")];
  // As of a checkpoint that is decoded while it is read: 4 MB of float32, a third of a megabyte to come back.
  const usual = await throughput(2, 200, 512, 2048, "Q4_K");
  const time = await processorTime();
  writeResult(options.json, { empty, usual, ...time });
} finally {
  await redis.close();
  rmSync(folder, { recursive: true, force: true });
}
