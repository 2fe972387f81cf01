/** What the engine's processes say to each other. */
import type { MessagePort } from "node:worker_threads";
import type { SerializedError } from "../serialized-error.js";
import type { LogLevel, LogLine } from "./log.js";

export { deserializeError, serializeError } from "../serialized-error.js";

export type ToChild =
  | { type: "run"; id: number; module: string; name: string; params: unknown }
  | { type: "message"; id: number; message: unknown }
  | { type: "cancel"; id: number }
  /** Answered at once with a pong. */
  | { type: "ping" };

/**
 * What the child's two threads share beside their messages: words that the worker reads in the middle of a
 * computation, and on which it sleeps while it has nothing to do.
 */
export interface WorkerShare {
  /** See `CONTROL`. */
  readonly control: Int32Array;
  /** Delivers the parent's messages for the running job, each with the job's number. */
  readonly messages: MessagePort;
}

/** Words of `WorkerShare.control`. */
export const controlFlag = {
  /** 1 while the running job is to stop. */
  cancelled: 0,
  /** Counts messages and cancellations; a waiting job is woken when it changes. */
  signals: 1,
} as const;

export type ToParent =
  /** Said once, when the library is loaded, or cannot be; whether jobs can be run as well as anywhere. */
  | { type: "ready"; isUsable: boolean }
  | { type: "pong" }
  | { type: "event"; id: number; event: unknown }
  | { type: "load"; id: number; path: string; fraction: number }
  | { type: "done"; id: number; result: unknown }
  | { type: "failed"; id: number; error: SerializedError };

/**
 * Log lines and steps take another way than messages: the child writes them to its standard error before it goes
 * on, so that they are not lost when native code ends the process. What has no mark was written by native code
 * itself (a failed assertion, a C++ exception) and counts as an error.
 */
const recordMark = "\u001e";
const stepMark = "step";

/** A line of the child's standard error for a log line. */
export function formatLogLine({ level, text }: LogLine): string {
  return `${recordMark}${level}${recordMark}${text}\n`;
}

/** A line of the child's standard error for the step that begins. */
export function formatStep(step: string): string {
  return `${recordMark}${stepMark}${recordMark}${step}\n`;
}

/** Reads a line of the child's standard error. */
export function parseErrorLine(line: string): { step: string } | LogLine {
  const [empty, kind, ...rest] = line.split(recordMark);
  if (empty !== "" || kind === undefined || rest.length === 0) {
    return { level: "error", text: line };
  }
  const text = rest.join(recordMark);
  return kind === stepMark ? { step: text } : { level: kind as LogLevel, text };
}
