/**
 * Takes away from a thread's global object what Node.js and the web put there: processes, files, network, workers,
 * messages. Python in WebAssembly has no way to JavaScript once its bridge modules are gone; should code find one
 * nevertheless, it finds nothing to use. (`eval` and `Function` are already off, and files and processes refused:
 * see isolation/.)
 */
import { runInNewContext } from "node:vm";

/** What Pyodide needs of it. None of these reaches out of the thread. */
const kept = [
  "TextDecoder",
  "TextEncoder",
  "URL",
  "performance",
  "setTimeout",
  "clearTimeout",
  "queueMicrotask",
];

export function bareRealm(): void {
  const language = runInNewContext("Object.getOwnPropertyNames(globalThis)") as string[];
  const keep = new Set([...language, ...kept]);
  for (const name of Object.getOwnPropertyNames(globalThis))
    if (!keep.has(name)) Reflect.deleteProperty(globalThis, name);
  define("console", { log() {}, warn() {}, error() {}, info() {}, debug() {}, trace() {} });
  define("crypto", { getRandomValues: fillAlike });
}

function define(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, configurable: true });
}

let state = 0x9e3779b9;

/** The same "random" bytes every time, so that the same program does the same (xorshift, Marsaglia 2003). */
function fillAlike(view: Uint8Array): Uint8Array {
  for (let i = 0; i < view.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    view[i] = state & 0xff;
  }
  return view;
}
