/** The isolated side's half of the protocol: a worker module calls `serveRequests` once it is loaded. */
import { parentPort } from "node:worker_threads";
import type { FromGuard } from "./messages.js";

/** Answers each request with what `answer` returns. It must not throw: failures are replies, too. */
export function serveRequests<Request, Reply>(answer: (request: Request) => Reply | Promise<Reply>): void {
  const port = parentPort;
  if (port === null) return;
  port.on("message", (request: Request) => {
    void Promise.resolve(answer(request)).then((reply) =>
      port.postMessage({ type: "reply", reply } satisfies FromGuard),
    );
  });
  port.postMessage({ type: "ready" } satisfies FromGuard);
}
