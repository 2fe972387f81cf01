/** A thread of the encoder pool: transcodes one slice after the other. See pool.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { serializeError } from "../serialized-error.js";
import { Kernels } from "./kernels/kernels.js";
import type { Reply, Task, WorkerSetup } from "./pool-messages.js";
import { transcode } from "./transcode.js";
import { Workspace } from "./workspace.js";

const { kernels } = workerData as WorkerSetup;
const workspace = new Workspace(kernels && new Kernels(kernels));

parentPort?.on("message", ({ id, slice }: Task) => {
  try {
    const done = transcode(slice, workspace);
    post({ id, done }, done.bytes.buffer as ArrayBuffer);
  } catch (error) {
    post({ id, error: serializeError(error) });
  }
});

function post(reply: Reply, ...transfer: ArrayBuffer[]): void {
  parentPort?.postMessage(reply, transfer);
}
