/** Thread in which one program is run, in an interpreter of its own. See python.ts. */
import { parentPort, workerData } from "node:worker_threads";
import type { WorkerSetup } from "../isolation/messages.js";
import { serveRequests } from "../isolation/serve.js";
import { harness, removeBridges } from "./harness.js";
import { type InterpreterImage, startInterpreter } from "./interpreter.js";
import type { SandboxData } from "./prepare.js";

export interface PythonRequest {
  readonly code: string;
  /** JSON of the calls: `[function, arguments, whether the last function will do]`. */
  readonly calls: string;
  readonly maxOutputBytes: number;
  readonly maxResultBytes: number;
}

export interface PythonReply {
  /** What the harness wrote: JSON, if the program did not tamper with it; undefined if nothing. */
  readonly result: string | undefined;
  /** What the program printed, cut at the bound. */
  readonly output: string;
  /** How the interpreter ended, if it broke down. */
  readonly crash: string | undefined;
}

const { data, prepared } = workerData as WorkerSetup<SandboxData, InterpreterImage>;
const port = parentPort;
const python = await startInterpreter(prepared, data);
for (const name of ["js", "pyodide_js"]) python.unregisterJsModule(name);
python.runPython(removeBridges);
serveRequests(run, port);

function run({ code, calls, maxOutputBytes, maxResultBytes }: PythonRequest): PythonReply {
  const printed = new Printed(maxOutputBytes);
  python.setStdin({ error: true });
  python.setStdout({ write: printed.write });
  python.setStderr({ write: printed.write });
  let crash: string | undefined;
  try {
    python.FS.writeFile("/tmp/program.py", code);
    python.FS.writeFile("/tmp/calls.json", calls);
    python.runPython(harness);
  } catch (error) {
    crash = lastLine(error);
  }
  return { result: readResult(maxResultBytes), output: printed.text(), crash };
}

function readResult(maxBytes: number): string | undefined {
  try {
    const path = "/tmp/result.json";
    if (python.FS.stat(path).size > maxBytes) return undefined;
    return python.FS.readFile(path, { encoding: "utf8" });
  } catch {
    return undefined; // the program never got that far
  }
}

/** A traceback's last line says what happened. */
function lastLine(error: unknown): string {
  const message = error instanceof Error ? `${error.message}` : String(error);
  return (message.trim().split("\n").at(-1) ?? "").slice(0, 300);
}

/** The beginning of what is printed. */
class Printed {
  readonly #bytes: Uint8Array;
  #length = 0;

  constructor(maxBytes: number) {
    this.#bytes = new Uint8Array(maxBytes);
  }

  readonly write = (bytes: Uint8Array): number => {
    const kept = bytes.subarray(0, this.#bytes.length - this.#length);
    this.#bytes.set(kept, this.#length);
    this.#length += kept.length;
    return bytes.length;
  };

  text(): string {
    return new TextDecoder().decode(this.#bytes.subarray(0, this.#length));
  }
}
