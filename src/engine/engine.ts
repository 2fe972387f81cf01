/**
 * llama.cpp in a child process, seen from the parent. Jobs (`job.ts`) run there one after the other; whatever
 * happens to the child, the parent lives and gets an error that says what was being done.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { CancelledError, EnvironmentError, InternalError } from "../errors.js";
import { crashError, silenceError } from "./crash.js";
import { engineEnvironment } from "./environment.js";
import { Heartbeat } from "./heartbeat.js";
import type { Job } from "./job.js";
import type { LogLine } from "./log.js";
import { deserializeError, parseErrorLine, type ToChild, type ToParent } from "./messages.js";

/** Time a job has to stop by itself when it is cancelled; then the child is killed. Promised: one second. */
const graceMs = 700;
/** Last lines kept to explain a crash. */
const keptLines = 40;

export interface EngineOptions {
  /** Hears llama.cpp's log lines. */
  readonly onLog?: (line: LogLine) => void;
}

export interface JobOptions<Event> {
  /** Hears the job's events. */
  readonly onEvent?: (event: Event) => void;
  /** Hears how far the loading of a model is, from 0 to 1. */
  readonly onLoad?: (path: string, fraction: number) => void;
  /** Stops the job, within a second. */
  readonly signal?: AbortSignal | undefined;
}

/** A job that was given to the engine. */
export interface RunningJob<Result, Message> {
  readonly result: Promise<Result>;
  /** Sends the job a message; before its turn it is kept, and after its end dropped. */
  send(message: Message): void;
}

interface Pending {
  readonly id: number;
  readonly child: ChildProcess;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly onEvent: ((event: unknown) => void) | undefined;
  readonly onLoad: ((path: string, fraction: number) => void) | undefined;
  cancelled: boolean;
}

/**
 * Runs jobs beside llama.cpp. The child process starts with the first job and again after a crash; loaded models
 * stay for later jobs. An idle engine does not keep the program alive; `close` frees its memory at once.
 */
export class Engine {
  readonly #options: EngineOptions;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #pending: Pending | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #nextId = 1;
  #step = "starting llama.cpp";
  #lines: LogLine[] = [];
  #heartbeat: Heartbeat | undefined;

  constructor(options: EngineOptions = {}) {
    this.#options = options;
  }

  /**
   * Runs a job after those that were given before.
   * Throws what the job throws; an EnvironmentError or a MalformedInputError if native code ends the child process;
   * a CancelledError if `signal` stops it.
   */
  run<Params, Result, Event>(
    job: Job<Params, Result, Event>,
    params: Params,
    options: JobOptions<Event> = {},
  ): Promise<Result> {
    return this.start(job, params, options).result;
  }

  /** Like `run`, for a job that takes messages while it runs. */
  start<Params, Result, Event, Message>(
    job: Job<Params, Result, Event, Message>,
    params: Params,
    options: JobOptions<Event> = {},
  ): RunningJob<Result, Message> {
    const id = this.#nextId++;
    const early: Message[] = [];
    let send = (message: Message): void => void early.push(message);
    const result = this.#queue.then(() => {
      const running = this.#start(id, job, params, options);
      send = (message) => {
        if (this.#pending?.id === id) {
          this.#send(this.#pending.child, { type: "message", id, message });
        }
      };
      for (const message of early) {
        send(message);
      }
      return running;
    });
    this.#queue = result.catch(() => {});
    return { result, send: (message) => send(message) };
  }

  /** Ends the child process and frees all models; a running job is cancelled. A later job starts it anew. */
  async close(): Promise<void> {
    if (this.#pending) {
      this.#pending.cancelled = true;
    }
    const child = this.#child;
    this.#child = undefined;
    if (child) {
      // An idle child does not keep the program alive, but its end is waited for.
      keepAlive(child, true);
      child.kill("SIGKILL");
    }
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Process id of the child, if it runs. */
  get processId(): number | undefined {
    return this.#child?.pid;
  }

  /** Whether the child has answered in the last seconds, if it has work; a silent one is killed after half a minute. */
  get isResponsive(): boolean {
    return this.#heartbeat?.isSilent !== true;
  }

  #start<Params, Result, Event, Message>(
    id: number,
    job: Job<Params, Result, Event, Message>,
    params: Params,
    { onEvent, onLoad, signal }: JobOptions<Event>,
  ): Promise<Result> {
    if (signal?.aborted) {
      return Promise.reject(new CancelledError("the work was stopped before it began."));
    }
    const child = this.#ensureChild();
    keepAlive(child, true);
    const cancel = () => this.#cancel(child, id);
    signal?.addEventListener("abort", cancel, { once: true });
    const heartbeat = new Heartbeat({
      ask: () => this.#send(child, { type: "ping" }),
      onLost: () => child.kill("SIGKILL"),
    });
    this.#heartbeat = heartbeat;
    return new Promise<unknown>((resolve, reject) => {
      this.#pending = {
        id,
        child,
        resolve,
        reject,
        onEvent: onEvent as ((event: unknown) => void) | undefined,
        onLoad,
        cancelled: false,
      };
      this.#send(child, { type: "run", id, module: job.module, name: job.name, params });
    }).finally(() => {
      signal?.removeEventListener("abort", cancel);
      heartbeat.stop();
      this.#heartbeat = undefined;
      this.#pending = undefined;
      // Of a child that is being closed the end is waited for.
      if (this.#child === child) {
        keepAlive(child, false);
      }
    }) as Promise<Result>;
  }

  #cancel(child: ChildProcess, id: number): void {
    const pending = this.#pending;
    if (pending?.id !== id) {
      return;
    }
    pending.cancelled = true;
    this.#send(child, { type: "cancel", id });
    setTimeout(() => {
      if (this.#pending === pending) {
        child.kill("SIGKILL");
      }
    }, graceMs).unref();
  }

  #send(child: ChildProcess, message: ToChild): void {
    // A child that is gone reports it through its "close" event, which rejects the job.
    child.send(message, () => {});
  }

  #ensureChild(): ChildProcess {
    if (this.#child) {
      return this.#child;
    }
    const child = fork(fileURLToPath(new URL("./child.js", import.meta.url)), [], {
      execArgv: [],
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env: engineEnvironment(),
    });
    this.#child = child;
    this.#step = "starting llama.cpp";
    this.#lines = [];
    child.on("message", (message: ToParent) => this.#receive(message));
    if (child.stderr) {
      createInterface({ input: child.stderr }).on("line", (line) => this.#readErrorLine(line));
    }
    this.#exited = new Promise((resolve) => {
      child.once("error", (cause) => {
        this.#lose(
          child,
          new EnvironmentError(`the engine's process cannot be started: ${cause.message}.`, {}, { cause }),
        );
        resolve();
      });
      child.once("close", (code, signal) => {
        const error = this.#heartbeat?.isLost
          ? silenceError(this.#step)
          : crashError(this.#step, this.#lines, code, signal);
        this.#lose(child, error);
        resolve();
      });
    });
    return child;
  }

  /** The child is gone. */
  #lose(child: ChildProcess, error: Error): void {
    if (this.#child === child) {
      this.#child = undefined;
    }
    const pending = this.#pending;
    if (pending?.child !== child) {
      return;
    }
    pending.reject(
      pending.cancelled ? new CancelledError("the work was stopped in the middle of a computation.") : error,
    );
  }

  #receive(message: ToParent): void {
    if (message.type === "pong") {
      this.#heartbeat?.answered();
      return;
    }
    const pending = this.#pending;
    if (pending?.id !== message.id) {
      return;
    }
    if (message.type === "event") {
      pending.onEvent?.(message.event);
    } else if (message.type === "load") {
      pending.onLoad?.(message.path, message.fraction);
    } else if (message.type === "done") {
      pending.resolve(message.result);
    } else if (message.type === "failed") {
      pending.reject(deserializeError(message.error));
    } else {
      throw new InternalError(`the engine's process sent an unknown message.`);
    }
  }

  #readErrorLine(text: string): void {
    const line = parseErrorLine(text);
    if ("step" in line) {
      this.#step = line.step;
      this.#lines = [];
      return;
    }
    this.#lines.push(line);
    if (this.#lines.length > keptLines) {
      this.#lines.shift();
    }
    this.#options.onLog?.(line);
  }
}

/** Whether the child keeps the parent's event loop running: only while it works. */
function keepAlive(child: ChildProcess, busy: boolean): void {
  const method = busy ? "ref" : "unref";
  child[method]();
  child.channel?.[method]();
  const stderr = child.stderr;
  if (stderr && method in stderr) {
    (stderr as unknown as { ref(): void; unref(): void })[method]();
  }
}
