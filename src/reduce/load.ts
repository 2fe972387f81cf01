/** Which implementation of the reductions runs: SIMD where there is SIMD, the plain reference otherwise. */
import { loadSimdModule, type SimdModule } from "../wasm/load.js";
import { knownAnswers } from "./known-answers.js";
import type { Reducer } from "./reducer.js";
import { referenceReducer } from "./reference.js";
import { answers } from "./self-test.js";
import { SimdReducer } from "./simd.js";

let module: SimdModule | undefined;
let reducer: Reducer | undefined;

/** The compiled module of this process, also that of `moments/gram.ts`. Errors: see `loadSimdModule`. */
export function loadReduceModule(): SimdModule {
  module ??= loadSimdModule({
    url: new URL("./reduce.wasm", import.meta.url),
    work: "Measuring activations and logits",
    ask: answers,
    knownAnswers,
  });
  return module;
}

/** The reductions of this thread. */
export function loadReducer(): Reducer {
  const { module, faulty } = loadReduceModule();
  reducer ??= module && faulty.every((name) => name === "gram") ? new SimdReducer(module) : referenceReducer;
  return reducer;
}
