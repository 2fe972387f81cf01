/** The engine's process seen from its parent: starting it, confined where that works, and what becomes of it. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { killGroup, leadsGroup } from "../isolation/process-group.js";
import { type Confinement, confinedProcessId, confinementFor } from "./confinement.js";
import { engineEnvironment } from "./environment.js";
import type { FileView } from "./file-view.js";
import { pathInProcess } from "./memory-file.js";
import type { ToChild, ToParent } from "./messages.js";

const childFile = fileURLToPath(new URL("./child.js", import.meta.url));

/** A confined process that does not say that it is there by then is started again as it is. */
const startTimeoutMs = 60_000;

/** Exit codes from here on stand for signals where another process reports the end of ours. */
const signalCodes = 128;

/** How a process ended. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** It could not be started. */
  readonly cause?: Error;
}

export interface ProcessHandlers {
  readonly onMessage: (message: ToParent) => void;
  readonly onErrorLine: (line: string) => void;
}

/** Whether a confined process has failed to start here: then no other is tried. */
let confinementFails = false;

export class EngineProcess {
  /** What it sees; undefined if it sees everything. */
  readonly view: FileView | undefined;
  /** Its number in this process's namespace. */
  readonly id: number | undefined;
  /** When it has ended. */
  readonly ended: Promise<ProcessEnd>;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, ended: Promise<ProcessEnd>, id?: number, view?: FileView) {
    this.#child = child;
    this.ended = ended;
    this.id = id;
    this.view = view;
  }

  /**
   * Starts a process for jobs whose files are in the view; it sees nothing else if the system can do that. Undefined if
   * `signal` has stopped the start.
   */
  static async start(
    view: FileView,
    handlers: ProcessHandlers,
    signal: AbortSignal,
  ): Promise<EngineProcess | undefined> {
    const confinement = confinementFails ? undefined : confinementFor(view);
    if (confinement) {
      const confined = await EngineProcess.#startConfined(view, confinement, handlers, signal);
      if (confined || signal.aborted) {
        return confined;
      }
      confinementFails = true;
    }
    const child = spawn(process.execPath, [childFile], spawnOptions());
    return new EngineProcess(child, listen(child, handlers), child.pid);
  }

  /** Undefined if it does not work here, or is stopped. */
  static async #startConfined(
    view: FileView,
    { words, remove }: Confinement,
    handlers: ProcessHandlers,
    signal: AbortSignal,
  ): Promise<EngineProcess | undefined> {
    const [command = "", ...args] = [...words, process.execPath, childFile];
    // In a session of its own: Ctrl-C would end bubblewrap, and with it the process.
    const child = spawn(command, args, { ...spawnOptions(), ...leadsGroup });
    // Nothing that is said before it is there matters: if it fails, another one will say it.
    let hears = false;
    const ended = listen(child, {
      onMessage: (message) => hears && handlers.onMessage(message),
      onErrorLine: (line) => hears && handlers.onErrorLine(line),
    }).finally(remove);
    const gives = (): void => killGroup(child);
    // What it has started ends with bubblewrap, but for a moment at the beginning.
    child.once("exit", gives);
    const timer = setTimeout(gives, startTimeoutMs);
    signal.addEventListener("abort", gives, { once: true });
    try {
      const ready = await Promise.race([firstMessage(child), ended.then(() => undefined)]);
      const id = child.pid === undefined ? undefined : confinedProcessId(child.pid);
      if (ready?.type !== "ready" || !ready.isUsable || id === undefined) {
        gives();
        await ended;
        return undefined;
      }
      hears = true;
      return new EngineProcess(child, ended.then(asReported), id, view);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", gives);
    }
  }

  send(message: ToChild): void {
    // A process that is gone reports it by its end.
    this.#child.send(message, () => {});
  }

  kill(): void {
    if (this.view === undefined) {
      this.#child.kill("SIGKILL");
    } else {
      killGroup(this.#child);
    }
  }

  /** Where this process finds a file that the engine's process has open and names so. */
  outsidePath(path: string): string {
    return this.id === undefined ? path : pathInProcess(path, this.id);
  }

  /** Whether it keeps this process's event loop running. */
  keepAlive(busy: boolean): void {
    const method = busy ? "ref" : "unref";
    this.#child[method]();
    this.#child.channel?.[method]();
    const stderr = this.#child.stderr;
    if (stderr && method in stderr) {
      (stderr as unknown as { ref(): void; unref(): void })[method]();
    }
  }
}

function spawnOptions(): SpawnOptions {
  return {
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    env: engineEnvironment(),
  };
}

function listen(child: ChildProcess, { onMessage, onErrorLine }: ProcessHandlers): Promise<ProcessEnd> {
  child.on("message", (message: ToParent) => onMessage(message));
  if (child.stderr) {
    createInterface({ input: child.stderr }).on("line", onErrorLine);
  }
  return new Promise((resolve) => {
    child.once("error", (cause) => resolve({ code: null, signal: null, cause }));
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
}

function firstMessage(child: ChildProcess): Promise<ToParent> {
  return new Promise((resolve) => child.once("message", resolve));
}

/** The end of a process that bubblewrap has reported: it says a signal as an exit code. */
function asReported(end: ProcessEnd): ProcessEnd {
  const { code } = end;
  const signal = Object.entries(constants.signals).find(([, number]) => number + signalCodes === code)?.[0];
  return signal === undefined ? end : { ...end, code: null, signal: signal as NodeJS.Signals };
}
