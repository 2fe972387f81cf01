// Gives the readers of files from strangers damaged files, far more than the tests do:
//   npm run fuzz -- [--runs 200000] [--target gguf] [--seed 1]
// Each target runs in a thread whose memory is limited; one that falls silent is stopped and reported.
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { fuzz, fuzzTargets } from "../dist/testing/fuzz/fuzz.js";

const memoryMb = 200;
const silenceMs = 120_000;

async function fuzzHere({ target, runs, seed }) {
  const onProgress = (outcome) => parentPort.postMessage(outcome);
  parentPort.postMessage(await fuzz(fuzzTargets.get(target), { runs, seed, onProgress }));
}

function fuzzInThread(request) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), {
      workerData: request,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: memoryMb },
    });
    let outcome;
    const silent = () => {
      reject(new Error(`hangs after ${outcome?.runs ?? 0} files`));
      void worker.terminate();
    };
    const watch = setTimeout(silent, silenceMs);
    worker.on("message", (message) => {
      outcome = message;
      watch.refresh();
    });
    worker.on("error", reject);
    worker.on("exit", () => {
      clearTimeout(watch);
      resolve(outcome);
    });
  });
}

async function main() {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "200000" },
      target: { type: "string" },
      seed: { type: "string", default: "1" },
    },
  });
  const targets = values.target === undefined ? [...fuzzTargets.keys()] : [values.target];
  for (const target of targets) {
    if (!fuzzTargets.has(target)) {
      throw new Error(`--target: one of ${[...fuzzTargets.keys()].join(", ")}`);
    }
    const started = performance.now();
    const outcome = await fuzzInThread({ target, runs: Number(values.runs), seed: Number(values.seed) });
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    console.log(
      `${target}: ${outcome.runs} files, ${outcome.accepted} read, ${outcome.refused} refused, ${seconds} s`,
    );
  }
  const peak = Math.round(process.resourceUsage().maxRSS / 1000);
  console.log(`peak memory of the process: ${peak} MB`);
}

if (isMainThread) {
  await main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
} else {
  await fuzzHere(workerData);
}
