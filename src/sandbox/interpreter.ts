/**
 * Pyodide (CPython compiled to WebAssembly) in a thread that has nothing of Node.js left: it takes itself for a
 * bare JavaScript shell, gets its files from memory, and is restored from a snapshot.
 */
import type { PyodideInterface } from "pyodide";
import { bareRealm } from "./bare-realm.js";

/** What is read and compiled once, and shared by all threads. */
export interface InterpreterImage {
  readonly wasm: WebAssembly.Module;
  /** Python's standard library, a zip file. */
  readonly library: SharedArrayBuffer;
  /** pyodide-lock.json; Pyodide wants it although no package is ever loaded. */
  readonly lock: string;
  /** Addresses of Pyodide's modules. */
  readonly modules: { readonly loader: string; readonly runtime: string };
  /** Memory of an interpreter that has just started. */
  readonly snapshot?: SharedArrayBuffer;
}

export interface InterpreterOptions {
  /** Bound of the interpreter's memory; beyond, Python raises a MemoryError. */
  readonly memoryMegabytes: number;
  /** Start such that `makeMemorySnapshot` can follow. */
  readonly forSnapshot?: boolean;
}

interface Loader {
  readonly loadPyodide: (options: object) => Promise<PyodideInterface>;
}
interface Runtime {
  readonly default: (settings: object) => Promise<unknown>;
}

/**
 * Takes this thread's globals away and starts Python. What `import js` would give Python is an empty object.
 * Must be called once in a thread, which then is good for nothing else.
 */
export async function startInterpreter(
  image: InterpreterImage,
  { memoryMegabytes, forSnapshot }: InterpreterOptions,
): Promise<PyodideInterface> {
  limitMemory(memoryMegabytes);
  bareRealm();
  const finish = lendLoaderFunctions(image);
  // Imported only now, since they look at the globals to find out where they are.
  const { loadPyodide }: Loader = await import(image.modules.loader);
  const { default: createPyodideModule }: Runtime = await import(image.modules.runtime);
  const python = await loadPyodide({
    indexURL: "/",
    lockFileContents: JSON.parse(image.lock),
    createPyodideModule,
    jsglobals: {},
    ...(forSnapshot ? { _makeSnapshot: true } : {}),
    ...(image.snapshot ? { _loadSnapshot: new Uint8Array(image.snapshot) } : {}),
  });
  finish();
  return python;
}

/** All memory of all WebAssembly modules of this thread. Emscripten takes a failure to grow for a full memory. */
function limitMemory(memoryMegabytes: number): void {
  const pageBytes = 65_536;
  const { grow } = WebAssembly.Memory.prototype;
  WebAssembly.Memory.prototype.grow = function (this: WebAssembly.Memory, pages: number) {
    const wanted = this.buffer.byteLength + pages * pageBytes;
    if (wanted > memoryMegabytes * 2 ** 20) throw new RangeError("the sandbox's memory is full");
    return grow.call(this, pages);
  };
}

/**
 * The functions through which a JavaScript shell reads files, and WebAssembly's, such that Pyodide finds its
 * library and the compiled module. The result takes them away again.
 */
function lendLoaderFunctions({ wasm, library }: InterpreterImage): () => void {
  const { instantiate } = WebAssembly;
  const readbuffer = (path: string) =>
    path.endsWith(".zip") ? new Uint8Array(library).slice().buffer : new ArrayBuffer(0);
  const none = () => undefined;
  // WorkerGlobalScope makes Emscripten take random numbers from `crypto`.
  const lent = { read: none, load: none, readbuffer, WorkerGlobalScope: class {} };
  Object.assign(globalThis, lent);
  // The empty buffer that `readbuffer` gives for pyodide.asm.wasm stands for the compiled module.
  WebAssembly.instantiate = async (source, imports) => {
    if (!(source instanceof Uint8Array && source.length === 0)) return await instantiate(source, imports);
    return { module: wasm, instance: await instantiate(wasm, imports) };
  };
  return () => {
    WebAssembly.instantiate = instantiate;
    for (const name of Object.keys(lent)) Reflect.deleteProperty(globalThis, name);
  };
}
