/** A thread of a `WorkerTeam`. */
import { parentPort, workerData } from "node:worker_threads";
import { serializeError } from "../serialized-error.js";
import type { TeamSetup } from "./worker-team.js";

/**
 * Does what messages say, one after the other, with what `prepare` returns. After the first error nothing more is
 * done.
 */
export function serveTeam<Data, Message>(prepare: (data: Data) => (message: Message) => void): void {
  const { data, index, pending, failures } = workerData as TeamSetup<Data>;
  let failed = false;
  const attempt = <T>(work: () => T): T | undefined => {
    if (failed) {
      return undefined;
    }
    try {
      return work();
    } catch (error) {
      failed = true;
      failures.postMessage(serializeError(error));
      return undefined;
    }
  };
  const perform = attempt(() => prepare(data));
  parentPort?.on("message", (message: Message | "end") => {
    if (message === "end") {
      parentPort?.close();
      return;
    }
    attempt(() => perform?.(message));
    Atomics.sub(pending, index, 1);
    Atomics.notify(pending, index);
  });
  parentPort?.postMessage("ready");
}
