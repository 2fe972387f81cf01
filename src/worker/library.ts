/** What programs import as `lopsided/queue`: apart from the rest, since it brings a queue's client along. */
export { type QueueResult, queue } from "../queue/list.js";
export type { QueueOptions } from "../queue/queue-command.js";
export { type RunningWorker, worker } from "./worker.js";
export type { WorkerOptions } from "./worker-command.js";
