/**
 * Main thread of an isolated process. It runs nothing from strangers itself: worker threads do, so that this
 * thread always hears when the parent goes away, and then takes the process with it. It stops a worker that takes
 * too long, and the whole process if it grows too large. See isolated.ts.
 */
import { Worker } from "node:worker_threads";
import type { Failure, FromGuard, FromWorker, GuardSetup, IsolatedWorkerSetup, ToGuard } from "./messages.js";

/** How often the memory is looked at while a request is worked on. */
const watchEveryMs = 20;

const youngMegabytes = 16;

process.on("disconnect", die);
process.once("message", (setup) => {
  begin(setup as GuardSetup).catch((error: unknown) => send({ type: "broken", reason: String(error) }));
});

async function begin(setup: GuardSetup): Promise<void> {
  const prepared = setup.prepare === undefined ? undefined : await firstMessage(setup, setup.prepare);
  const guard = new Guard(setup, prepared);
  process.on("message", (message) => guard.ask(message as ToGuard<unknown>));
}

/** Gives one request at a time to a worker, once that is ready. */
class Guard {
  readonly #setup: GuardSetup;
  readonly #prepared: unknown;
  #worker: Worker;
  #isReady = false;
  #wasReady = false;
  #pending: ToGuard<unknown> | undefined;
  #timers: NodeJS.Timeout[] = [];

  constructor(setup: GuardSetup, prepared: unknown) {
    this.#setup = setup;
    this.#prepared = prepared;
    this.#worker = this.#start();
  }

  ask(message: ToGuard<unknown>): void {
    this.#pending = message;
    if (this.#isReady) {
      this.#work(message);
    }
  }

  #work({ request, timeoutMs }: ToGuard<unknown>): void {
    this.#timers = [
      setTimeout(() => this.#fail("too slow"), timeoutMs),
      setInterval(() => this.#watchMemory(), watchEveryMs),
    ];
    this.#worker.postMessage(request);
  }

  #start(): Worker {
    const worker = startWorker(this.#setup, this.#setup.module, this.#prepared);
    const ifCurrent =
      <Value>(act: (value: Value) => void) =>
      (value: Value) => {
        if (worker === this.#worker) {
          act(value);
        }
      };
    worker.on(
      "message",
      ifCurrent<FromWorker>((message) => this.#receive(message)),
    );
    worker.on(
      "error",
      ifCurrent<NodeJS.ErrnoException>((error) => this.#lose(error)),
    );
    worker.on(
      "exit",
      ifCurrent(() => this.#lose(new Error("its thread ended"))),
    );
    return worker;
  }

  #receive(message: FromWorker): void {
    if (message.type === "ready") {
      this.#isReady = true;
      if (!this.#wasReady) {
        send(message);
      }
      this.#wasReady = true;
      if (this.#pending) {
        this.#work(this.#pending);
      }
      return;
    }
    this.#settle();
    send(message);
    if (this.#setup.fresh) {
      this.#replace();
    }
  }

  #lose(error: NodeJS.ErrnoException): void {
    if (this.#pending) {
      this.#fail(error.code === "ERR_WORKER_OUT_OF_MEMORY" ? "too much memory" : "ended");
    } else {
      send({ type: "broken", reason: error.message });
    }
  }

  #fail(failure: Failure): void {
    this.#settle();
    send({ type: "failed", failure });
    this.#replace();
  }

  #replace(): void {
    const old = this.#worker;
    this.#isReady = false;
    this.#worker = this.#start();
    void old.terminate();
  }

  #watchMemory(): void {
    if (process.memoryUsage.rss() < this.#setup.memoryMegabytes * 2 ** 20) {
      return;
    }
    this.#settle();
    // Nothing less would give all of it back.
    process.send?.({ type: "failed", failure: "too much memory" } satisfies FromGuard<unknown>, die);
  }

  #settle(): void {
    this.#pending = undefined;
    for (const timer of this.#timers) {
      clearTimeout(timer);
    }
  }
}

/**
 * The permission model holds per thread. A worker has its own, in which threads are no right: one that a stranger's
 * code could start with other options would be without any.
 */
function startWorker({ data, workerArgv }: GuardSetup, module: string, prepared: unknown): Worker {
  const workerData: IsolatedWorkerSetup<unknown, unknown> = { data, prepared };
  return new Worker(new URL(module), {
    workerData,
    env: {},
    execArgv: [...workerArgv],
    resourceLimits: { maxYoungGenerationSizeMb: youngMegabytes },
  });
}

async function firstMessage(setup: GuardSetup, module: string): Promise<unknown> {
  const worker = startWorker(setup, module, undefined);
  try {
    return await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
      worker.once("exit", () => reject(new Error("its preparation ended without a result")));
    });
  } finally {
    await worker.terminate();
  }
}

function send(message: FromGuard<unknown>): void {
  process.send?.(message);
}

function die(): void {
  process.kill(process.pid, "SIGKILL");
}
