/** The compiled kernels of this process. */
import { loadSimdModule } from "../../wasm/load.js";
import type { KernelModule } from "./kernels.js";
import { knownAnswers } from "./known-answers.js";
import { answers } from "./self-test.js";

/** The kernels of this process, or why there are none. */
export interface Loaded {
  readonly kernels: KernelModule | undefined;
  /** For the user to read if encoding will be slow; undefined if all is well. */
  readonly warning: string | undefined;
}

let loaded: Loaded | undefined;

/** Compiles and tests the kernels, once per process. Errors: see `loadSimdModule`. */
export function loadKernels(): Loaded {
  loaded ??= load();
  return loaded;
}

function load(): Loaded {
  const url = new URL("./kernels.wasm", import.meta.url);
  const { module, faulty, warning } = loadSimdModule({ url, work: "Encoding", ask: answers, knownAnswers });
  return { kernels: module && { module, faulty }, warning };
}
