/**
 * Checkpoints of an imatrix run: an importance matrix in GGUF that also says of which run it is. The file always
 * is a whole one, the last or the one before, even if the power fails.
 */
import { createHash } from "node:crypto";
import { replaceCheckpoint } from "../activations/checkpoint-file.js";
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

/** Replaces the checkpoint. Errors: see `replaceCheckpoint`. */
export async function writeCheckpoint(path: string, imatrix: Imatrix): Promise<void> {
  await replaceCheckpoint(path, ggufParts(imatrix));
}
