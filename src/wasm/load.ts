/**
 * Loads the project's own WebAssembly SIMD modules and decides which of their functions this machine can use. A function
 * is asked a question whose answer is on record when it is first needed, once per process: that finds compilers that
 * translate a function wrongly (V8 has done so), not mistakes in the functions themselves; those are for the test suite
 * to find.
 */
import { readFileSync } from "node:fs";
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";
import { EnvironmentError } from "../errors.js";

/** What is to be loaded. */
export interface SimdModuleSource {
  /** Address of the compiled file. */
  readonly url: URL;
  /** What is slow without it, to begin a sentence with: `Encoding`. */
  readonly work: string;
  /** Names of all questions; each stands for what may be used if its answer is right. */
  readonly questions: (module: WebAssembly.Module) => readonly string[];
  /** Asks a new instance one question. */
  readonly ask: (module: WebAssembly.Module, question: string) => string;
  /** The right answers, by question. */
  readonly knownAnswers: Readonly<Record<string, string>>;
}

/** What is known of an answer. */
const verdict = { none: 0, right: 1, wrong: 2 };

/** What all threads of a process share of a module. */
interface SharedModule {
  readonly module: WebAssembly.Module;
  /** A `verdict` for each question, in shared memory. */
  readonly verdicts: Uint8Array;
}

/** A compiled module, or why there is none. */
export class SimdModule {
  /** Undefined where there is no SIMD, or it is not wanted. */
  readonly module: WebAssembly.Module | undefined;
  readonly #source: SimdModuleSource;
  readonly #questions: readonly string[];
  readonly #verdicts: Uint8Array;
  readonly #reason: string;

  /** @param reason why there is none */
  constructor(source: SimdModuleSource, shared: SharedModule | undefined, reason = "") {
    this.#source = source;
    this.module = shared?.module;
    this.#questions = shared ? source.questions(shared.module) : [];
    this.#verdicts = shared?.verdicts ?? new Uint8Array();
    this.#reason = reason;
  }

  /** Whether what a question stands for may be used. Asks it, unless a thread of this process has. */
  isRight(question: string): boolean {
    const index = this.#questions.indexOf(question);
    if (this.module === undefined || index < 0) {
      return false;
    }
    // Two threads may ask at once: they come to the same verdict.
    if (this.#verdicts[index] === verdict.none) {
      const { ask, knownAnswers } = this.#source;
      const isRight = ask(this.module, question) === knownAnswers[question];
      this.#verdicts[index] = isRight ? verdict.right : verdict.wrong;
    }
    return this.#verdicts[index] === verdict.right;
  }

  /** Asks all questions. */
  examine(): this {
    for (const question of this.#questions) {
      this.isRight(question);
    }
    return this;
  }

  /**
   * For the user to read if the work is slow, as far as is known; undefined if all is well. Once one answer is wrong
   * all are asked, so that the user hears of it once.
   */
  get warning(): string | undefined {
    if (this.module === undefined) {
      return `${this.#source.work} is several times slower than it could be, because ${this.#reason}.`;
    }
    if (!this.#verdicts.includes(verdict.wrong)) {
      return undefined;
    }
    this.examine();
    return faultyWarning(this.#questions.filter((question) => !this.isRight(question)));
  }
}

/**
 * Compiles a module, or takes the one that the thread which started this one has compiled. `LOPSIDED_NO_SIMD=1` in the
 * environment keeps it from being used. Throws an EnvironmentError if the compiled file is missing: then the
 * installation is not complete.
 */
export function loadSimdModule(source: SimdModuleSource): SimdModule {
  if (process.env.LOPSIDED_NO_SIMD === "1") {
    return new SimdModule(source, undefined, "LOPSIDED_NO_SIMD=1 is set");
  }
  const key = source.url.href;
  const known = getEnvironmentData(key) as SharedModule | undefined;
  const shared = known ?? compile(source);
  if (shared === undefined) {
    return new SimdModule(source, undefined, "this machine or version of Node.js has no WebAssembly SIMD");
  }
  // Threads that are started from here on get it.
  setEnvironmentData(key, shared);
  return new SimdModule(source, shared);
}

/** Undefined if this machine cannot compile it. */
function compile({ url, questions }: SimdModuleSource): SharedModule | undefined {
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
    return undefined;
  }
  const module = new WebAssembly.Module(bytes);
  return { module, verdicts: new Uint8Array(new SharedArrayBuffer(questions(module).length)) };
}

function faultyWarning(names: readonly string[]): string {
  return `These kernels give wrong results on this machine and are replaced by the slow reference: ${names.join(", ")}. Please report it, with the version of Node.js (${process.version}).`;
}
