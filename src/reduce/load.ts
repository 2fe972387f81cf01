/** Which implementation of the reductions runs: SIMD where there is SIMD, the plain reference otherwise. */
import { readFileSync } from "node:fs";
import { EnvironmentError } from "../errors.js";
import type { Reducer } from "./reducer.js";
import { referenceReducer } from "./reference.js";
import { SimdReducer } from "./simd.js";

let loaded: Reducer | undefined;

/**
 * The reductions of this thread: SIMD ones where there is SIMD. `LOPSIDED_NO_SIMD=1` in the environment keeps them
 * from being used.
 */
export function loadReducer(): Reducer {
  loaded ??= load();
  return loaded;
}

function load(): Reducer {
  if (process.env.LOPSIDED_NO_SIMD === "1") {
    return referenceReducer;
  }
  const path = new URL("./reduce.wasm", import.meta.url);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new EnvironmentError(
      `${path.pathname}: cannot be read; install or build Lopsided again.`,
      {},
      { cause },
    );
  }
  return WebAssembly.validate(bytes) ? new SimdReducer(new WebAssembly.Module(bytes)) : referenceReducer;
}
