/** The compiled output-aware encoder of this process. */
import { loadSimdModule, type SimdModule } from "../../wasm/load.js";
import { knownAnswers } from "./known-answers.js";
import { answers } from "./self-test.js";

let loaded: SimdModule | undefined;

/** Compiles and tests the module, once per process. Errors: see `loadSimdModule`. */
export function loadOutputAwareKernels(): SimdModule {
  loaded ??= loadSimdModule({
    url: new URL("./output-aware.wasm", import.meta.url),
    work: "Output-aware encoding",
    ask: answers,
    knownAnswers,
  });
  return loaded;
}
