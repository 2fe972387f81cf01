/**
 * Checkpoints of an imatrix run: an importance matrix in GGUF that also says of which run it is. The file always
 * is a whole one, the last or the one before, even if the power fails.
 */
import { createHash } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { checkpointProblem } from "../activations/checkpoint-problem.js";
import { LopsidedError } from "../errors.js";
import { readImatrixFile } from "./file.js";
import { ggufParts } from "./gguf.js";
import type { Imatrix } from "./imatrix.js";

/** Where the run that writes `output` saves its state. */
export function checkpointPath(output: string): string {
  return `${output}.partial`;
}

/** A name for a run: a hash of what its statistics depend on. */
export function runName(facts: Readonly<Record<string, unknown>>, tokens: Int32Array): string {
  return createHash("sha256").update(JSON.stringify(facts)).update(tokens).digest("hex");
}

/** The checkpoint at `path` if there is one of this run; one of another run, or a damaged one, is as good as none. */
export async function readCheckpoint(path: string, run: string): Promise<Imatrix | undefined> {
  try {
    const imatrix = await readImatrixFile(path);
    return imatrix.run === run ? imatrix : undefined;
  } catch (error) {
    if (error instanceof LopsidedError) {
      return undefined;
    }
    throw error;
  }
}

/**
 * Replaces the checkpoint. The temporary name is always the same, so that a killed run leaves no trail of files.
 * Throws an EnvironmentError if it cannot be written; the one before is then still there.
 */
export async function writeCheckpoint(path: string, imatrix: Imatrix): Promise<void> {
  const temporary = `${path}.new`;
  try {
    const file = await open(temporary, "w");
    try {
      for (const part of ggufParts(imatrix)) {
        await file.writeFile(part);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    const problem = checkpointProblem(path, cause);
    if (problem !== cause) {
      await rm(temporary, { force: true }).catch(() => {});
    }
    throw problem;
  }
}
