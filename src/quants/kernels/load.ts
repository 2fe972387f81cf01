/** Finds the compiled kernels and decides whether this machine can use them. */
import { readFileSync } from "node:fs";
import { EnvironmentError } from "../../errors.js";
import type { KernelModule } from "./kernels.js";
import { selfTest } from "./self-test.js";

/** The kernels of this process, or why there are none. */
export interface Loaded {
  readonly kernels: KernelModule | undefined;
  /** For the user to read if encoding will be slow; undefined if all is well. */
  readonly warning: string | undefined;
}

let loaded: Loaded | undefined;

/**
 * Compiles and tests the kernels, once per process. `LOPSIDED_NO_SIMD=1` in the environment keeps them from being
 * used. Throws an EnvironmentError if the compiled file is missing: then the installation is not complete.
 */
export function loadKernels(): Loaded {
  loaded ??= load();
  return loaded;
}

function load(): Loaded {
  if (process.env.LOPSIDED_NO_SIMD === "1") {
    return without("LOPSIDED_NO_SIMD=1 is set");
  }
  const path = new URL("./kernels.wasm", import.meta.url);
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
  if (!WebAssembly.validate(bytes)) {
    return without("this machine or version of Node.js has no WebAssembly SIMD");
  }

  const module = new WebAssembly.Module(bytes);
  const faulty = selfTest(module);
  const warning =
    faulty.length > 0
      ? `These kernels give wrong results on this machine and are replaced by the slow reference: ${faulty.join(", ")}. Please report it, with the version of Node.js (${process.version}).`
      : undefined;
  return { kernels: { module, faulty }, warning };
}

function without(reason: string): Loaded {
  return {
    kernels: undefined,
    warning: `Encoding is several times slower than it could be, because ${reason}.`,
  };
}
