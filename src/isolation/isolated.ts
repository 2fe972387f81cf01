/**
 * A process for code from strangers (chat templates, generated Python). Its environment is empty, its memory is
 * bounded, Node's permission model lets it read only the modules it needs and start nothing, JavaScript in it
 * cannot be made from strings, Linux takes the network and all other files away where it can (confinement.ts), and
 * it ends when it takes too long or its parent ends. A thread would not do: V8 ends the whole process when a thread
 * of it outgrows its memory in one step.
 */
import type { ChildProcess } from "node:child_process";
import { CancelledError, EnvironmentError, InternalError } from "../errors.js";
import { type GuardProcessOptions, permissionFlags, startGuardProcess } from "./guard-process.js";
import type { Failure, FromGuard, GuardSetup, ToGuard } from "./messages.js";
import { killGroup } from "./process-group.js";

export interface IsolatedOptions extends GuardProcessOptions {
  /** Address of the module that runs in a worker thread there and calls `serveRequests`. */
  readonly module: string;
  /** The worker's data. */
  readonly data?: unknown;
  /** Address of a module that runs once in a thread before all workers; its first message is given to them. */
  readonly prepare?: string;
  /** A new worker for every request. */
  readonly fresh?: boolean;
  /** Bound of the process's memory, of all kinds, while it works on a request. */
  readonly memoryMegabytes: number;
}

export interface AskOptions {
  /** Time for the answer, once the process is ready. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export type Outcome<Reply> = { readonly reply: Reply } | { readonly failure: Failure };

/** Time to start; a busy machine with slow disks needs some seconds. */
const startTimeoutMs = 120_000;

/** How much later than the guard's own time limit the whole process is killed. */
const graceMs = 30_000;

/** Takes one request at a time. The process starts with the first; another follows one that ended. */
export class Isolated<Request, Reply> {
  readonly #options: IsolatedOptions;
  #child: ChildProcess | undefined;
  /** How often a process was started or given up; tells whether a start is still wanted when it is done. */
  #launches = 0;
  #ready: Promise<void> | undefined;
  #becomeReady: () => void = () => {};
  #settle: ((outcome: Outcome<Reply>) => void) | undefined;

  constructor(options: IsolatedOptions) {
    this.#options = options;
  }

  /**
   * Starts the process if it is not there, and waits until it can take a request. Throws an EnvironmentError if that
   * fails.
   */
  async start(): Promise<void> {
    this.#ready ??= this.#launch();
    await this.#ready;
  }

  /**
   * Sends a request and waits for its reply; if there is none, says why. Throws an EnvironmentError if the process
   * cannot be started, and a CancelledError.
   */
  async ask(request: Request, { timeoutMs, signal }: AskOptions): Promise<Outcome<Reply>> {
    if (signal?.aborted) {
      throw new CancelledError("the work was stopped.");
    }
    await this.start();
    const child = this.#child;
    if (this.#settle || !child) {
      throw new InternalError("an isolated process was asked twice at a time.");
    }
    keepAlive(child, true);
    const kill = (failure: Failure) => () => {
      this.#discard();
      this.#finish({ failure });
    };
    const timer = setTimeout(kill("too slow"), timeoutMs + graceMs);
    const stop = kill("ended");
    signal?.addEventListener("abort", stop, { once: true });
    try {
      const outcome = await new Promise<Outcome<Reply>>((resolve) => {
        this.#settle = resolve;
        const message: ToGuard<Request> = { request, timeoutMs };
        if (signal?.aborted) {
          stop();
        } else {
          child.send(message, (error) => error && stop());
        }
      });
      if (signal?.aborted) {
        throw new CancelledError("the work was stopped.");
      }
      return outcome;
    } finally {
      // Whatever happened, a request that could not be sent included, the next one may be asked.
      this.#settle = undefined;
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      keepAlive(child, false);
    }
  }

  /** Ends the process. The next request starts another. */
  close(): void {
    this.#discard();
    this.#finish({ failure: "ended" });
  }

  #finish(outcome: Outcome<Reply>): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.(outcome);
  }

  #discard(): void {
    if (this.#child) {
      killGroup(this.#child);
    }
    this.#child = undefined;
    this.#ready = undefined;
    this.#launches++;
  }

  async #launch(): Promise<void> {
    const launch = ++this.#launches;
    const child = await startGuardProcess(this.#options).catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    if (launch !== this.#launches) {
      killGroup(child);
      throw new EnvironmentError("an isolated process was closed before it had started; try again.");
    }
    this.#child = child;
    await this.#prepare(child);
  }

  #prepare(child: ChildProcess): Promise<void> {
    const { readable, memoryMegabytes, module, data, prepare, fresh = false } = this.#options;
    const workerArgv = permissionFlags(readable);
    return new Promise((resolve, reject) => {
      const fail = (reason: string) => {
        clearTimeout(timer);
        killGroup(child);
        if (this.#child === child) {
          this.#discard();
          this.#finish({ failure: "ended" });
        }
        reject(new EnvironmentError(`an isolated process could not be started: ${reason}; try again.`));
      };
      const timer = setTimeout(
        () => fail(`it was not ready after ${startTimeoutMs / 1000} s`),
        startTimeoutMs,
      );
      child.on("error", (error) => fail(error.message));
      child.on("exit", (code, signal) => fail(`it ended with ${signal ?? `exit code ${code}`}`));
      child.on("message", (message: FromGuard<Reply>) => {
        if (message.type === "broken") {
          fail(message.reason);
        } else if (this.#child === child) {
          this.#receive(message);
        }
      });
      this.#becomeReady = () => {
        clearTimeout(timer);
        keepAlive(child, false);
        resolve();
      };
      const setup: GuardSetup = { module, data, prepare, fresh, memoryMegabytes, workerArgv };
      child.send(setup, (error) => error && fail(error.message));
    });
  }

  #receive(message: Exclude<FromGuard<Reply>, { type: "broken" }>): void {
    if (message.type === "ready") {
      this.#becomeReady();
    } else if (message.type === "reply") {
      this.#finish({ reply: message.reply });
    } else {
      if (message.failure === "too much memory") {
        this.#discard(); // only a new process has all of its memory free
      }
      this.#finish({ failure: message.failure });
    }
  }
}

/** Whether the child keeps this process's event loop running. */
function keepAlive(child: ChildProcess, busy: boolean): void {
  const method = busy ? "ref" : "unref";
  child[method]();
  child.channel?.[method]();
}
