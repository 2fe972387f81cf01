/** What `worker` prints; it goes on until it is interrupted. */
import { once } from "node:events";
import type { RunningWorker } from "../worker/worker.js";
import type { View } from "./view.js";

export const view: View<RunningWorker> = {
  use: async ({ name, queue, threads, stop }, { signal, say, print }) => {
    print({
      json: { name, queue, threads, processId: process.pid },
      lines: [`${name}: ${threads} threads for ${queue}`],
    });
    if (!signal.aborted) {
      await once(signal, "abort");
    }
    say("finishing the jobs in hand; interrupt again to leave them to others");
    await stop();
    return undefined;
  },
};
