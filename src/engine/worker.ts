/** The thread of the engine's child process in which llama.cpp runs: executes the jobs that the parent sends. */
import { writeSync } from "node:fs";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { CancelledError, InternalError, systemErrorCode } from "../errors.js";
import type { Job, JobHost } from "./job.js";
import { acceleratedPackage, loadLibrary, type NativeLibrary } from "./library.js";
import {
  controlFlag,
  formatLogLine,
  formatStep,
  serializeError,
  type ToChild,
  type ToParent,
  type WorkerShare,
} from "./messages.js";
import { Model, type ModelOptions } from "./model.js";

const standardErrorFd = 2;
const { control, messages } = workerData as WorkerShare;
const isCancelled = () => Atomics.load(control, controlFlag.cancelled) === 1;
const pause = new Int32Array(new SharedArrayBuffer(4));
const models = new Map<string, Model>();

/** Messages for one job: those for jobs that have ended are dropped. */
function openMailbox(id: number): { receive(): unknown; wait(): void } {
  let waiting: unknown[] = [];
  const collect = () => {
    for (let next = receiveMessageOnPort(messages); next; next = receiveMessageOnPort(messages)) {
      const { id: recipient, message } = next.message as Extract<ToChild, { type: "message" }>;
      if (recipient === id) {
        waiting.push(message);
      }
    }
  };
  const receive = () => {
    if (waiting.length === 0) {
      collect();
    }
    const [first, ...rest] = waiting;
    waiting = rest;
    return first;
  };
  const wait = () => {
    for (;;) {
      const seen = Atomics.load(control, controlFlag.signals);
      collect();
      if (waiting.length > 0 || isCancelled()) {
        return;
      }
      Atomics.wait(control, controlFlag.signals, seen);
    }
  };
  return { receive, wait };
}

function send(message: ToParent): void {
  parentPort?.postMessage(message);
}

function openLibrary(): NativeLibrary {
  const library = loadLibrary();
  library.log.onLine = (line) => writeNow(formatLogLine(line));
  library.log.onStep = (step) => writeNow(formatStep(step));
  return library;
}

/** Writes to standard error before native code goes on, so that the line outlives a crash. */
function writeNow(text: string): void {
  let bytes: Uint8Array = Buffer.from(text);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(standardErrorFd, bytes));
    } catch (error) {
      // A pipe that does not block and is full: wait for the parent. Any other failure: nobody listens.
      if (systemErrorCode(error) !== "EAGAIN") {
        return;
      }
      Atomics.wait(pause, 0, 0, 1);
    }
  }
}

function loadModel(library: NativeLibrary, id: number, options: ModelOptions): Model {
  const key = JSON.stringify(Object.entries(options).sort());
  const known = models.get(key);
  if (known && !known.isClosed) {
    return known;
  }
  let percent = -1;
  const model = Model.load(library, options, {
    isCancelled,
    onProgress(fraction) {
      const now = Math.floor(100 * fraction);
      if (now === percent) {
        return;
      }
      percent = now;
      send({ type: "load", id, path: options.path, fraction });
    },
  });
  models.set(key, model);
  return model;
}

async function run({ id, module, name, params }: Extract<ToChild, { type: "run" }>): Promise<unknown> {
  const library = openLibrary();
  const exports: Record<string, unknown> = await import(module);
  const job = exports[name] as Job<unknown, unknown, unknown, unknown> | undefined;
  if (job?.module !== module || job.name !== name) {
    throw new InternalError(`${module} exports no job under the name "${name}".`);
  }
  const mailbox = openMailbox(id);
  const host: JobHost<unknown, unknown> = {
    library,
    model: (options) => loadModel(library, id, options),
    emit: (event) => send({ type: "event", id, event }),
    receive: mailbox.receive,
    waitForMessage: mailbox.wait,
    isCancelled,
  };
  const result = await job.run(params, host);
  if (isCancelled()) {
    throw new CancelledError("the work was stopped.");
  }
  return result;
}

/** Loads the library, and says whether it is there with the graphics processor that its package is for. */
function introduce(): void {
  let isUsable = false;
  try {
    const library = openLibrary();
    isUsable = acceleratedPackage() === undefined || library.hasGraphics();
  } catch {
    // The first job says why.
  }
  send({ type: "ready", isUsable });
}

introduce();
parentPort?.on("message", (message: ToChild) => {
  if (message.type !== "run") {
    return;
  }
  const { id } = message;
  run(message)
    .then((result) => send({ type: "done", id, result }))
    .catch((error: unknown) => send({ type: "failed", id, error: serializeError(error) }));
});
