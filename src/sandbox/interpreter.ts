/** Running one program in an interpreter of its own: CPython built for WASI, with nothing of the host in reach. */
import { pythonHarness } from "./harness.js";
import { InputStream, OutputStream } from "./streams.js";
import { Wasi } from "./wasi.js";

export interface PythonRequest {
  readonly code: string;
  /** JSON of the calls: `[function, arguments, whether the last function will do]`. */
  readonly calls: string;
  readonly maxOutputBytes: number;
  readonly maxReportBytes: number;
}

export interface PythonReply {
  /** What the pythonHarness reported: lines of JSON, if the program did not tamper with it. */
  readonly report: string;
  /** Whether there was more of it than its bound. */
  readonly isReportCut: boolean;
  /** What the program printed, cut at the bound. */
  readonly output: string;
  /** How the interpreter broke down, if it did. */
  readonly crash: string | undefined;
}

/**
 * -I: no environment, no folders of the user; -u: what is printed is there even if the program breaks down; -B: no
 * compiled files.
 */
const options = ["-I", "-u", "-B"];

const maxCrashLength = 300;

/** Runs the program and its calls. Everything goes with the instance when this returns. */
export function runPython(module: WebAssembly.Module, request: PythonRequest): PythonReply {
  const output = new OutputStream(request.maxOutputBytes);
  const errors = new OutputStream(request.maxReportBytes);
  const input = new InputStream(JSON.stringify([request.code, request.calls]));
  const wasi = new Wasi({ args: ["python", ...options, "-c", pythonHarness], input, output, errors });
  let crash: string | undefined;
  try {
    const status = wasi.run(module);
    crash = status === 0 ? undefined : `ended the interpreter with status ${status}`;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    crash = `broke the interpreter: ${message}`.slice(0, maxCrashLength);
  }
  return { report: errors.text(), isReportCut: errors.isCut, output: output.text(), crash };
}
