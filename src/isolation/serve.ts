/** The worker's half of the protocol: an isolated module calls `serveRequests` once it is loaded. */
import { type MessagePort, parentPort } from "node:worker_threads";
import type { FromWorker } from "./messages.js";

/** Answers each request with what `answer` returns. It must not throw: failures are replies, too. */
export function serveRequests<Request, Reply>(
  answer: (request: Request) => Reply,
  port: MessagePort | null = parentPort,
): void {
  const send = (message: FromWorker) => port?.postMessage(message);
  port?.on("message", (request: Request) => send({ type: "reply", reply: answer(request) }));
  send({ type: "ready" });
}
