/**
 * Loads the project's own WebAssembly SIMD modules and decides whether this machine can use them. Each module is asked
 * a few questions whose answers are on record, once per process: that finds compilers that translate a function wrongly
 * (V8 has done so), not mistakes in the functions themselves; those are for the test suite to find.
 */
import { readFileSync } from "node:fs";
import { EnvironmentError } from "../errors.js";

/** Answers of a module's functions to the known-answer test, by name. */
export type Answers = Readonly<Record<string, string>>;

/** What is to be loaded. */
export interface SimdModuleSource {
  /** Address of the compiled file. */
  readonly url: URL;
  /** What is slow without it, to begin a sentence with: `Encoding`. */
  readonly work: string;
  /** Asks an instance of the module. */
  readonly ask: (module: WebAssembly.Module) => Answers;
  readonly knownAnswers: Answers;
}

/** A compiled module, or why there is none. */
export interface SimdModule {
  /** Undefined where there is no SIMD, or it is not wanted. */
  readonly module: WebAssembly.Module | undefined;
  /** Names of the answers that are wrong on this machine. */
  readonly faulty: readonly string[];
  /** For the user to read if the work will be slow; undefined if all is well. */
  readonly warning: string | undefined;
}

/**
 * Compiles a module and tests it. `LOPSIDED_NO_SIMD=1` in the environment keeps it from being used. Throws an
 * EnvironmentError if the compiled file is missing: then the installation is not complete.
 */
export function loadSimdModule({ url, work, ask, knownAnswers }: SimdModuleSource): SimdModule {
  if (process.env.LOPSIDED_NO_SIMD === "1") {
    return without(work, "LOPSIDED_NO_SIMD=1 is set");
  }
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(url);
  } catch (cause) {
    throw new EnvironmentError(
      `${url.pathname}: cannot be read; install or build Lopsided again.`,
      {},
      { cause },
    );
  }
  if (!WebAssembly.validate(bytes)) {
    return without(work, "this machine or version of Node.js has no WebAssembly SIMD");
  }
  const module = new WebAssembly.Module(bytes);
  const faulty = Object.entries(ask(module))
    .filter(([name, answer]) => answer !== knownAnswers[name])
    .map(([name]) => name);
  return { module, faulty, warning: faulty.length > 0 ? faultyWarning(faulty) : undefined };
}

function without(work: string, reason: string): SimdModule {
  return {
    module: undefined,
    faulty: [],
    warning: `${work} is several times slower than it could be, because ${reason}.`,
  };
}

function faultyWarning(names: readonly string[]): string {
  return `These kernels give wrong results on this machine and are replaced by the slow reference: ${names.join(", ")}. Please report it, with the version of Node.js (${process.version}).`;
}
