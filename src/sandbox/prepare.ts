/** Thread that compiles the interpreter once, for all threads that run a program. See python.ts. */
import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import type { IsolatedWorkerSetup } from "../isolation/messages.js";
import { boundMemory } from "./bounded-module.js";
import { runPython } from "./interpreter.js";

export interface SandboxData {
  /** Address of python.wasm, which has the standard library in it. */
  readonly python: string;
  readonly memoryMegabytes: number;
}

const {
  data: { python, memoryMegabytes },
} = workerData as IsolatedWorkerSetup<SandboxData, undefined>;
const module = new WebAssembly.Module(boundMemory(readFileSync(new URL(python)), memoryMegabytes));

// V8 compiles a function when it is first called; with this, those that nearly every program needs are there.
runPython(module, {
  code: "import collections, functools, heapq, itertools, math, random, re, typing\ndef f(x): return sorted(x)",
  calls: JSON.stringify([["f", [[2, 1]], false]]),
  maxOutputBytes: 0,
  maxReportBytes: 0,
});
parentPort?.postMessage(module);
