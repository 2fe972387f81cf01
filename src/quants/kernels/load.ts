/** The compiled kernels of this process. */
import { loadSimdModule, type SimdModule } from "../../wasm/load.js";
import { Kernels } from "./kernels.js";
import { knownAnswers } from "./known-answers.js";
import { ask, questions } from "./self-test.js";

let loaded: SimdModule | undefined;

/** The kernels' module. Errors: see `loadSimdModule`. */
export function loadKernels(): SimdModule {
  loaded ??= loadSimdModule({
    url: new URL("./kernels.wasm", import.meta.url),
    work: "Encoding",
    questions,
    ask,
    knownAnswers,
  });
  return loaded;
}

/** An instance for this thread, of kernels that are tested as they are needed; undefined if there are none. */
export function newKernels(): Kernels | undefined {
  const simd = loadKernels();
  return simd.module && new Kernels(simd.module, (name) => simd.isRight(name));
}
