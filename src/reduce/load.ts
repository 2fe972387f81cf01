/** Which implementation of the reductions runs: SIMD where there is SIMD, the plain reference otherwise. */
import { loadSimdModule, type SimdModule } from "../wasm/load.js";
import { knownAnswers } from "./known-answers.js";
import type { Reducer } from "./reducer.js";
import { referenceReducer } from "./reference.js";
import { ask, questions } from "./self-test.js";
import { SimdReducer } from "./simd.js";

let module: SimdModule | undefined;
let reducer: Reducer | undefined;

/** The module, also that of `moments/gram.ts`. Errors: see `loadSimdModule`. */
export function loadReduceModule(): SimdModule {
  module ??= loadSimdModule({
    url: new URL("./reduce.wasm", import.meta.url),
    work: "Measuring activations and logits",
    questions,
    ask,
    knownAnswers,
  });
  return module;
}

/** The reductions of this thread. */
export function loadReducer(): Reducer {
  reducer ??= newReducer();
  return reducer;
}

function newReducer(): Reducer {
  const simd = loadReduceModule();
  const isRight = ["score_row", "compare_rows", "add_squares"].every((name) => simd.isRight(name));
  return isRight && simd.module ? new SimdReducer(simd.module) : referenceReducer;
}
