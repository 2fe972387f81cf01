/**
 * A process for code from strangers (chat templates, generated Python). Its environment is empty, its heap is
 * bounded, Node's permission model lets it read only the modules it needs and start nothing, and it is killed when
 * it takes too long or its parent ends. A thread would not do: V8 ends the whole process when a thread of it
 * outgrows its memory in one step.
 */
import { type ChildProcess, fork } from "node:child_process";
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CancelledError, EnvironmentError, InternalError } from "../errors.js";
import type { FromGuard, GuardSetup } from "./messages.js";

export interface IsolatedOptions {
  /** Address of the module that runs in a worker thread there and calls `serveRequests`. */
  readonly module: string;
  /** The worker's `workerData`. */
  readonly data?: unknown;
  /** Folders of packages that the module imports; all it may read besides our own code. */
  readonly readable: readonly string[];
  /** Bound of the JavaScript heap. */
  readonly heapMegabytes: number;
}

export interface AskOptions {
  /** Time for the answer, once the process is ready. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** What became of a request that has no reply. */
export type Failure = "too slow" | "ended";

/** Time to start; a busy machine with slow disks needs some seconds. */
const startTimeoutMs = 120_000;

const youngMegabytes = 16;

/** Our own compiled code. */
const codeFolder = fileURLToPath(new URL("..", import.meta.url));

/** One request at a time; the process starts with the first, and is gone after a request that failed. */
export class Isolated<Request, Reply> {
  readonly #options: IsolatedOptions;
  #child: ChildProcess | undefined;
  #ready: Promise<void> | undefined;
  #settle: ((outcome: { reply: Reply } | { failure: Failure }) => void) | undefined;

  constructor(options: IsolatedOptions) {
    this.#options = options;
  }

  /** Starts the process if it is not there, and waits until it can take a request. */
  async start(): Promise<void> {
    this.#ready ??= this.#launch();
    await this.#ready;
  }

  /**
   * Sends a request and waits for its reply; if there is none, says why.
   * @throws EnvironmentError if the process cannot be started; CancelledError
   */
  async ask(
    request: Request,
    { timeoutMs, signal }: AskOptions,
  ): Promise<{ readonly reply: Reply } | { readonly failure: Failure }> {
    if (signal?.aborted) throw new CancelledError("the work was stopped.");
    await this.start();
    const child = this.#child;
    if (this.#settle || !child) throw new InternalError("an isolated process was asked twice at a time.");
    keepAlive(child, true);
    const timer = setTimeout(() => this.#finish({ failure: "too slow" }), timeoutMs);
    const stop = () => this.#finish({ failure: "ended" });
    signal?.addEventListener("abort", stop, { once: true });
    try {
      const outcome = await new Promise<{ reply: Reply } | { failure: Failure }>((resolve) => {
        this.#settle = resolve;
        if (signal?.aborted) stop();
        else child.send(request as object, (error) => error && this.#finish({ failure: "ended" }));
      });
      if (signal?.aborted) throw new CancelledError("the work was stopped.");
      return outcome;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      keepAlive(child, false);
    }
  }

  /** Ends the process. The next request starts another. */
  close(): void {
    this.#finish({ failure: "ended" });
    this.#discard();
  }

  #finish(outcome: { reply: Reply } | { failure: Failure }): void {
    const settle = this.#settle;
    this.#settle = undefined;
    if ("failure" in outcome) this.#discard();
    settle?.(outcome);
  }

  #discard(): void {
    this.#child?.kill("SIGKILL");
    this.#child = undefined;
    this.#ready = undefined;
  }

  #launch(): Promise<void> {
    const { heapMegabytes, readable, module, data } = this.#options;
    const guard = fileURLToPath(new URL("./guard.js", import.meta.url));
    const folders = [codeFolder, ...readable].map((folder) => `${realpathSync(folder)}/*`);
    const child = fork(guard, {
      env: {},
      execArgv: [
        `--max-old-space-size=${heapMegabytes}`,
        permissionFlag(),
        "--allow-worker",
        ...folders.map((folder) => `--allow-fs-read=${folder}`),
      ],
      serialization: "advanced",
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    this.#child = child;
    return new Promise((resolve, reject) => {
      const fail = (reason: string) => {
        clearTimeout(timer);
        if (this.#child === child) this.#finish({ failure: "ended" });
        child.kill("SIGKILL");
        reject(new EnvironmentError(`an isolated process could not be started: ${reason}; try again.`));
      };
      const timer = setTimeout(
        () => fail(`it was not ready after ${startTimeoutMs / 1000} s`),
        startTimeoutMs,
      );
      child.on("error", (error) => fail(error.message));
      child.on("exit", (code, signal) => fail(`it ended with ${signal ?? `exit code ${code}`}`));
      child.on("message", (message) => {
        const heard = message as FromGuard;
        if (heard.type === "broken") return fail(heard.reason);
        if (this.#child !== child) return;
        if (heard.type === "reply") return this.#finish({ reply: heard.reply as Reply });
        clearTimeout(timer);
        keepAlive(child, false);
        resolve();
      });
      const setup: GuardSetup = { module, data, youngMegabytes };
      child.send(setup, (error) => error && fail(error.message));
    });
  }
}

/** Whether the child keeps this process's event loop running. */
function keepAlive(child: ChildProcess, busy: boolean): void {
  const method = busy ? "ref" : "unref";
  child[method]();
  child.channel?.[method]();
}

/** The permission model's switch: it lost its prefix in Node 22.13. */
function permissionFlag(): string {
  const { allowedNodeEnvironmentFlags } = process;
  return allowedNodeEnvironmentFlags.has("--permission") ? "--permission" : "--experimental-permission";
}
