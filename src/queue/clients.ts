/**
 * What speaks to Redis, loaded as CommonJS: its hundreds of files take twice the processor time as ES modules, and every
 * process of a queue loads them.
 */
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

export const { Queue, QueueEvents, UnrecoverableError, Worker } =
  require("bullmq") as typeof import("bullmq");
export type Queue = import("bullmq").Queue;
export type QueueEvents = import("bullmq").QueueEvents;
export type Worker = import("bullmq").Worker;

export const { Redis } = require("ioredis") as typeof import("ioredis");
export type Redis = import("ioredis").Redis;
