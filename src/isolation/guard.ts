/**
 * Main thread of an isolated process. It runs nothing from strangers itself: a worker thread does, so that this
 * thread always hears when the parent goes away, and then takes the process with it. See isolated.ts.
 */
import { Worker } from "node:worker_threads";
import type { FromGuard, GuardSetup } from "./messages.js";

process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
process.once("message", (setup) => start(setup as GuardSetup));

function start({ module, data, youngMegabytes }: GuardSetup): void {
  const worker = new Worker(new URL(module), {
    workerData: data,
    env: {},
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: youngMegabytes },
  });
  worker.on("message", (message: FromGuard) => send(message));
  worker.on("error", (error) => send({ type: "broken", reason: error.message }));
  worker.on("exit", () => send({ type: "broken", reason: "its thread ended" }));
  process.on("message", (request) => worker.postMessage(request));
}

function send(message: FromGuard): void {
  process.send?.(message);
}
