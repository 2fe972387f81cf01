/** The compiled output-aware encoder of this process. */
import { loadSimdModule, type SimdModule } from "../../wasm/load.js";
import { knownAnswers } from "./known-answers.js";
import { ask, factorAnswer, questions } from "./self-test.js";

let loaded: SimdModule | undefined;

/** The encoder's module. Errors: see `loadSimdModule`. */
export function loadOutputAwareKernels(): SimdModule {
  loaded ??= loadSimdModule({
    url: new URL("./output-aware.wasm", import.meta.url),
    work: "Output-aware encoding",
    questions,
    ask,
    knownAnswers,
  });
  return loaded;
}

/** The module, if its linear algebra is right; see `factorAnswer`. */
export function loadLinearAlgebra(): WebAssembly.Module | undefined {
  const simd = loadOutputAwareKernels();
  return simd.isRight(factorAnswer) ? simd.module : undefined;
}
