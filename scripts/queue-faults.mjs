// Quantizes the tiny model (by moments of each expert, too: max), or calibrates it, on a queue of two workers again and again, with one fault at a random moment of each run: a
// worker killed, one stopped for some seconds, a worker's connection to Redis cut, Redis killed and started again or
// emptied, the coordinator stopped for a while, or killed and resumed. Where root may mount a file system in memory,
// groups also come to a worker whose disk is full when it gets the model. The bytes must always be those of one machine.
// redis-server must be installed.
//
//   npm run -s build && node scripts/queue-faults.mjs [RUNS] [SEED] [quantize|max|imatrix]
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { writeExpertMoments } from "../dist/testing/model-moments.js";
import { uniform } from "../dist/testing/random.js";
import { TestRedis } from "../dist/testing/redis.js";

const [runs = "50", seed = "1", command = "quantize"] = process.argv.slice(2);
const file = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "lopsided-queue-faults-"));
const next = uniform(Number(seed));
const token = "the-token-of-these-faults";
const redis = await TestRedis.start(folder);
const program = file("dist/cli/main.js");
const output = join(folder, "out.gguf");
const model = file("fixtures/tiny-moe-q8_0.gguf");
const moments = join(folder, "moments.gguf");
const quantizing = (path) => [
  ...["quantize", model, path, "--allow-requantize", "-t", "1"],
  ...["--recipe", "asym-2bit-experts", "--imatrix", file("fixtures/reference/imatrix.gguf")],
];
/** What is run, and how it goes on or begins anew. */
const kinds = {
  quantize: { args: quantizing, goesOn: ["--resume"], anew: ["--restart"] },
  max: {
    args: (path) => [...quantizing(path), "--effort", "max", "--moments", moments],
    goesOn: ["--resume"],
    anew: ["--restart"],
  },
  imatrix: {
    args: (path) => [
      ...["imatrix", model, file("fixtures/text/calibration.txt"), "-o", path, "-t", "1", "--expert-outputs"],
      ...["--ctx", "64", "--output-frequency", "1"],
    ],
    goesOn: [],
    anew: [],
  },
};
const { args: working, goesOn, anew } = kinds[command];

/** A way to Redis that can be cut. */
async function breakableWay() {
  const sockets = new Set();
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(Number(new URL(redis.url).port), "127.0.0.1");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(from);
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `redis://127.0.0.1:${server.address().port}/0`,
    close: () => server.close(),
    cut() {
      isCut = true;
      for (const socket of sockets) {
        socket.destroy();
      }
    },
    mend() {
      isCut = false;
    },
  };
}

/** A worker that has the models of a folder; by default it gets them from the coordinator. */
async function startWorker(models = ["--models", join(folder, "models")]) {
  const way = await breakableWay();
  const child = spawn(
    process.execPath,
    [program, "worker", "--queue", way.url, "--token", token, "-t", "1", ...models],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const worker = { child, way, said: "" };
  child.stderr.on("data", (text) => {
    worker.said += text;
  });
  await once(child.stdout, "data");
  child.stdout.resume();
  return worker;
}

function endWorker({ child, way }) {
  child.kill("SIGCONT");
  child.kill("SIGKILL");
  way.close();
}

/** A file system of two megabytes where a model is to be fetched, if it may be mounted. */
function smallDisk() {
  if (command !== "imatrix") {
    return undefined;
  }
  const path = join(folder, "small-disk");
  mkdirSync(path);
  const mounting = spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", path], { stdio: "ignore" });
  return mounting.status === 0 ? path : undefined;
}

function startRun(more) {
  const child = spawn(
    process.execPath,
    [program, ...working(output), "--queue", redis.url, "--token", token, ...more],
    {
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  let stderr = "";
  child.stderr.on("data", (text) => {
    stderr += text;
  });
  return { child, ended: once(child, "close").then(([status]) => ({ status, stderr })) };
}

const isRunning = ({ child }) => child.exitCode === null && child.signalCode === null;

/** What may happen; each returns the run that goes on. */
const faults = {
  async "a worker is killed"(run, worker) {
    worker.child.kill("SIGKILL");
    return run;
  },
  async "a worker stands still for ten seconds"(run, worker) {
    worker.child.kill("SIGSTOP");
    setTimeout(() => worker.child.kill("SIGCONT"), 10_000);
    return run;
  },
  async "a worker's way to Redis is cut for five seconds"(run, worker) {
    worker.way.cut();
    setTimeout(() => worker.way.mend(), 5000);
    return run;
  },
  async "Redis is killed and started again"(run) {
    await redis.stop("SIGKILL");
    await sleep(1000 * next());
    await redis.start();
    return run;
  },
  async "Redis forgets everything"(run) {
    await redis.client().flushall();
    return run;
  },
  async "the coordinator stands still for five seconds"(run) {
    run.child.kill("SIGSTOP");
    await sleep(5000);
    run.child.kill("SIGCONT");
    return run;
  },
  async "the coordinator is killed and resumed"(run, _, more) {
    run.child.kill("SIGKILL");
    await run.ended;
    return startRun([...more, ...goesOn]);
  },
};

const disk = smallDisk();
if (disk) {
  faults["a worker comes whose disk is full"] = async (run) => {
    const worker = await startWorker(["--models", disk, "--models-size", "1GB"]);
    await run.ended;
    endWorker(worker);
    // Nothing, if the run ended before the worker came to it.
    console.log(worker.said.trim());
    if (worker.said !== "" && !/^warning: runs no model .*: the disk is full: .*\n$/.test(worker.said)) {
      throw new Error("the worker was to say that the disk is full");
    }
    return run;
  };
}

const sha256 = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");
const workers = [];
const counts = new Map();
let failed = 0;
try {
  if (command === "max") {
    await writeExpertMoments(model, moments);
  }
  const alone = join(folder, "alone.gguf");
  const { status } = spawnSync(process.execPath, [program, ...working(alone)], { stdio: "ignore" });
  if (status !== 0) {
    throw new Error("the run on one machine failed");
  }
  const expected = sha256(alone);
  let lasts = 0;
  // A run that ended before its fault is none; the first one says how long a run lasts.
  for (let i = 0; i <= Number(runs); ) {
    for (const gone of workers.filter((worker) => !isRunning(worker))) {
      gone.way.close();
      workers.splice(workers.indexOf(gone), 1);
    }
    while (workers.length < 2) {
      // One has the model at hand, the other gets it.
      const isFirst = workers.every(({ hasModel }) => !hasModel);
      const worker = await startWorker(isFirst ? ["--shared", file("fixtures")] : undefined);
      workers.push(Object.assign(worker, { hasModel: isFirst }));
    }
    const names = Object.keys(faults);
    const name = names[Math.floor(next() * names.length)];
    const more = next() < 0.5 ? ["--no-local"] : [];
    const began = performance.now();
    rmSync(output, { force: true });
    rmSync(`${output}.partial`, { force: true });
    const run = startRun([...more, ...anew]);
    if (i > 0) {
      await sleep(next() * lasts);
    }
    const wasRunning = isRunning(run);
    const isFaulty = i > 0 && wasRunning;
    const going = isFaulty ? await faults[name](run, workers[Math.floor(next() * 2)], more) : run;
    const ended = await going.ended;
    const isSame = ended.status === 0 && sha256(output) === expected;
    failed += isSame ? 0 : 1;
    if (i === 0) {
      lasts = performance.now() - began;
    }
    const what = i === 0 ? "without a fault" : isFaulty ? name : "it ended before the fault";
    counts.set(what, (counts.get(what) ?? 0) + 1);
    console.log(
      `${i}: ${what}${more.length > 0 ? ", no local work" : ""}: ${isSame ? "the same bytes" : `FAILED ${ended.status} ${ended.stderr}`}`,
    );
    i += i === 0 || isFaulty ? 1 : 0;
  }
  console.log([...counts].map(([name, count]) => `${count} x ${name}`).join("\n"));
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  console.log(`${all - failed} of ${all} runs gave the bytes of one machine.`);
} finally {
  workers.forEach(endWorker);
  if (disk) {
    spawnSync("umount", [disk]);
  }
  await redis.close();
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failed > 0 ? 1 : 0;
