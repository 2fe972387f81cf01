/**
 * llama.cpp in a child process, seen from the parent. Jobs (`job.ts`) run there one after the other; whatever
 * happens to the child, the parent lives and gets an error that says what was being done.
 */
import { dirname, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { CancelledError, EnvironmentError, InternalError } from "../errors.js";
import { codeFolder } from "../isolation/own-code.js";
import { crashError, silenceError } from "./crash.js";
import { EngineProcess, type ProcessEnd } from "./engine-process.js";
import { FileView } from "./file-view.js";
import { Heartbeat } from "./heartbeat.js";
import type { Job } from "./job.js";
import { joinFiles } from "./job-files.js";
import type { LogLine } from "./log.js";
import { deserializeError, parseErrorLine, type ToParent } from "./messages.js";

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
  readonly child: EngineProcess;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly onEvent: ((event: unknown) => void) | undefined;
  readonly onLoad: ((path: string, fraction: number) => void) | undefined;
  cancelled: boolean;
}

/**
 * Runs jobs beside llama.cpp. The child process starts with the first job, again after a crash, and where it is confined
 * also for a job with files that it does not see; loaded models stay for later jobs. An idle engine does not keep the program alive; `close` frees its memory at once.
 */
export class Engine {
  readonly #options: EngineOptions;
  #child: EngineProcess | undefined;
  #view = new FileView();
  /** Stops a start that is under way. */
  #starting: AbortController | undefined;
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
    const begun = (): void => {
      send = (message) => {
        if (this.#pending?.id === id) {
          this.#pending.child.send({ type: "message", id, message });
        }
      };
      for (const message of early) {
        send(message);
      }
    };
    const result = this.#queue.then(() => this.#start(id, job, params, options, begun));
    this.#queue = result.catch(() => {});
    return { result, send: (message) => send(message) };
  }

  /** Ends the child process and frees all models; a running job is cancelled. A later job starts it anew. */
  async close(): Promise<void> {
    if (this.#pending) {
      this.#pending.cancelled = true;
    }
    this.#starting?.abort();
    await this.#endChild();
  }

  async #endChild(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child) {
      // An idle child does not keep the program alive, but its end is waited for.
      child.keepAlive(true);
      child.kill();
      await child.ended;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Process id of the child, if it runs. */
  get processId(): number | undefined {
    return this.#child?.id;
  }

  /** Whether the child is confined by the system, if it runs. */
  get isConfined(): boolean {
    return this.#child?.view !== undefined;
  }

  /** Where this process finds a file that a running job has open and names so. */
  outsidePath(path: string): string {
    return this.#child?.outsidePath(path) ?? path;
  }

  /** Whether the child has answered in the last seconds, if it has work; a silent one is killed after half a minute. */
  get isResponsive(): boolean {
    return this.#heartbeat?.isSilent !== true;
  }

  async #start<Params, Result, Event, Message>(
    id: number,
    job: Job<Params, Result, Event, Message>,
    params: Params,
    { onEvent, onLoad, signal }: JobOptions<Event>,
    begun: () => void,
  ): Promise<Result> {
    if (signal?.aborted) {
      throw new CancelledError("the work was stopped before it began.");
    }
    const child = await this.#ensureChild(this.#viewFor(job, params), signal);
    child.keepAlive(true);
    const cancel = () => this.#cancel(child, id);
    signal?.addEventListener("abort", cancel, { once: true });
    const heartbeat = new Heartbeat({
      ask: () => child.send({ type: "ping" }),
      onLost: () => child.kill(),
    });
    this.#heartbeat = heartbeat;
    const running = new Promise<unknown>((resolve, reject) => {
      this.#pending = {
        id,
        child,
        resolve,
        reject,
        onEvent: onEvent as ((event: unknown) => void) | undefined,
        onLoad,
        cancelled: false,
      };
      child.send({ type: "run", id, module: job.module, name: job.name, params });
      begun();
    });
    try {
      return (await running) as Result;
    } finally {
      signal?.removeEventListener("abort", cancel);
      heartbeat.stop();
      this.#heartbeat = undefined;
      this.#pending = undefined;
      // Of a child that is being closed the end is waited for.
      if (this.#child === child) {
        child.keepAlive(false);
      }
    }
  }

  #cancel(child: EngineProcess, id: number): void {
    const pending = this.#pending;
    if (pending?.id !== id) {
      return;
    }
    pending.cancelled = true;
    child.send({ type: "cancel", id });
    setTimeout(() => {
      if (this.#pending === pending) {
        child.kill();
      }
    }, graceMs).unref();
  }

  /** What the child has to see for a job, beside what it sees for those before. */
  #viewFor<Params, Result, Event, Message>(
    job: Job<Params, Result, Event, Message>,
    params: Params,
  ): FileView {
    const code = dirname(fileURLToPath(job.module));
    const isOurs = code === codeFolder || code.startsWith(codeFolder + sep);
    return this.#view.with(joinFiles(job.files(params), { reads: isOurs ? [] : [code] }));
  }

  /** The child, or another one if it does not see all of the view. */
  async #ensureChild(view: FileView, signal: AbortSignal | undefined): Promise<EngineProcess> {
    if (this.#child && this.#child.view?.covers(view) !== false) {
      return this.#child;
    }
    await this.#endChild();
    this.#view = view;
    this.#step = "starting llama.cpp";
    this.#lines = [];
    const starting = new AbortController();
    this.#starting = starting;
    const stop = AbortSignal.any([starting.signal, ...(signal ? [signal] : [])]);
    const child = await EngineProcess.start(
      view,
      {
        onMessage: (message) => this.#receive(message),
        onErrorLine: (line) => this.#readErrorLine(line),
      },
      stop,
    );
    this.#starting = undefined;
    if (child === undefined || stop.aborted) {
      child?.kill();
      throw new CancelledError("the work was stopped before it began.");
    }
    this.#child = child;
    void child.ended.then((end) => this.#lose(child, end));
    return child;
  }

  /** The child is gone. */
  #lose(child: EngineProcess, { code, signal, cause }: ProcessEnd): void {
    if (this.#child === child) {
      this.#child = undefined;
    }
    const pending = this.#pending;
    if (pending?.child !== child) {
      return;
    }
    if (pending.cancelled) {
      pending.reject(new CancelledError("the work was stopped in the middle of a computation."));
    } else if (cause) {
      const message = `the engine's process cannot be started: ${cause.message}.`;
      pending.reject(new EnvironmentError(message, {}, { cause }));
    } else {
      const isSilent = this.#heartbeat?.isLost === true;
      pending.reject(isSilent ? silenceError(this.#step) : crashError(this.#step, this.#lines, code, signal));
    }
  }

  #receive(message: ToParent): void {
    if (message.type === "ready") {
      return;
    }
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
