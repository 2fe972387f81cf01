/** Asks llama.cpp to run what was written, and warns if it does not. */
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { Engine } from "../engine/engine.js";
import { decodeProblem } from "../engine/try-decode.js";

interface TryOptions {
  readonly engine?: Engine | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: ((warning: string) => void) | undefined;
}

/** Whether llama.cpp runs a model, and if not, why, as it was warned of. */
export interface Tried {
  readonly runs: boolean;
  readonly runProblem?: string;
}

export async function tryNamed(path: string, options: TryOptions, name: string = path): Promise<Tried> {
  const engine = options.engine ?? new Engine();
  try {
    const problem = await decodeProblem(path, name, { engine, signal: options.signal });
    if (problem === undefined) {
      return { runs: true };
    }
    options.onWarning?.(problem);
    return { runs: false, runProblem: problem };
  } finally {
    if (options.engine === undefined) {
      await engine.close();
    }
  }
}

/** The same for files that have not got their names yet. */
export async function tryWritten(
  files: readonly { readonly path: string; readonly partial: string }[],
  options: TryOptions,
): Promise<Tried> {
  // llama.cpp finds the other files of a set by their names.
  const folder = await mkdtemp(join(tmpdir(), "lopsided-try-"));
  try {
    for (const { path, partial } of files) {
      await symlink(resolve(partial), join(folder, basename(path)));
    }
    const first = files[0]?.path ?? "";
    return await tryNamed(join(folder, basename(first)), options, first);
  } finally {
    await rm(folder, { recursive: true });
  }
}
