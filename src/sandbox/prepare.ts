/** Thread that compiles Pyodide, starts Python once and keeps a picture of its memory. See python.ts. */
import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import type { WorkerSetup } from "../isolation/messages.js";
import { type InterpreterImage, startInterpreter } from "./interpreter.js";

export interface SandboxData {
  /** Pyodide's folder, as an address that ends with a slash. */
  readonly pyodide: string;
  readonly memoryMegabytes: number;
}

const { data } = workerData as WorkerSetup<SandboxData, undefined>;
const port = parentPort;

async function prepare({ pyodide, memoryMegabytes }: SandboxData): Promise<InterpreterImage> {
  const read = (name: string) => readFileSync(new URL(name, pyodide));
  const image: InterpreterImage = {
    wasm: await WebAssembly.compile(new Uint8Array(read("pyodide.asm.wasm"))),
    library: shared(read("python_stdlib.zip")),
    lock: read("pyodide-lock.json").toString("utf8"),
    modules: { loader: `${pyodide}pyodide.mjs`, runtime: `${pyodide}pyodide.asm.mjs` },
  };
  const python = await startInterpreter(image, { memoryMegabytes, forSnapshot: true });
  // Used by every task, and slow to import.
  python.runPython("import json, re, math, collections, itertools, functools, heapq, bisect, string, typing");
  return { ...image, snapshot: shared(python.makeMemorySnapshot()) };
}

function shared(bytes: Uint8Array): SharedArrayBuffer {
  const copy = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(copy).set(bytes);
  return copy;
}

port?.postMessage(await prepare(data));
