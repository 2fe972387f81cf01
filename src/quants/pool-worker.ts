/** A thread of the encoder pool: works on one slice after the other. See pool.ts. */
import { parentPort } from "node:worker_threads";
import { serializeError } from "../serialized-error.js";
import { newKernels } from "./kernels/load.js";
import type { PoolTask, Reply } from "./pool-messages.js";
import { perform } from "./work.js";
import { Workspace } from "./workspace.js";

const workspace = new Workspace(newKernels());

parentPort?.on("message", ({ id, ...work }: PoolTask) => {
  try {
    const done = perform(work, workspace);
    post({ id, done }, ...("bytes" in done ? [done.bytes.buffer as ArrayBuffer] : []));
  } catch (error) {
    post({ id, error: serializeError(error) });
  }
});

function post(reply: Reply, ...transfer: ArrayBuffer[]): void {
  parentPort?.postMessage(reply, transfer);
}
