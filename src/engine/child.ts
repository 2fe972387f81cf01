/**
 * The engine's child process. Native calls block their thread for as long as a batch takes, so they are made in a
 * worker thread, and this thread stays free to hear the parent: a cancellation reaches the computation through
 * shared memory, and when the parent is gone the process ends at once, in the middle of a batch if need be.
 */
import { MessageChannel, Worker } from "node:worker_threads";
import { controlFlag, type ToChild, type ToParent, type WorkerShare } from "./messages.js";

const control = new Int32Array(new SharedArrayBuffer(8));
const { port1: toJob, port2: messages } = new MessageChannel();
const share: WorkerShare = { control, messages };
const worker = new Worker(new URL("./worker.js", import.meta.url), {
  workerData: share,
  transferList: [messages],
});

process.on("message", (message: ToChild) => {
  if (message.type === "ping") {
    process.send?.({ type: "pong" } satisfies ToParent);
    return;
  }
  if (message.type === "run") {
    Atomics.store(control, controlFlag.cancelled, 0);
    worker.postMessage(message);
    return;
  }
  if (message.type === "cancel") {
    Atomics.store(control, controlFlag.cancelled, 1);
  } else {
    toJob.postMessage(message);
  }
  Atomics.add(control, controlFlag.signals, 1);
  Atomics.notify(control, controlFlag.signals);
});
worker.on("message", (message: ToParent) => process.send?.(message));
worker.on("error", (error) => {
  process.stderr.write(`${error.stack ?? error}\n`, () => process.exit(1));
});

// process.exit would wait for the worker, and the worker for its native call.
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
// Ctrl-C reaches the whole process group; the parent decides what it means.
process.on("SIGINT", () => {});
