/** Which files a job opens by name, so that the engine's process need not see any others. */
import { modelFileNames } from "./limits.js";
import type { ModelOptions } from "./model.js";

export interface JobFiles {
  /** Files it reads. Those that are not there it will miss. */
  readonly reads?: readonly string[];
  /** Files it writes, beside which it may put others and rename them: it sees all of their folders. */
  readonly writes?: readonly string[];
  /** It keeps large things in the folder for temporary files. */
  readonly scratch?: boolean;
}

/** Of a job that opens nothing. */
export function noFiles(): JobFiles {
  return {};
}

/** Of a job that loads a model and opens nothing else. */
export function readsModel({ path }: Pick<ModelOptions, "path">): JobFiles {
  return { reads: modelFileNames(path) };
}

/** All of these together. */
export function joinFiles(...all: readonly JobFiles[]): JobFiles {
  return {
    reads: all.flatMap(({ reads = [] }) => reads),
    writes: all.flatMap(({ writes = [] }) => writes),
    scratch: all.some(({ scratch }) => scratch === true),
  };
}
