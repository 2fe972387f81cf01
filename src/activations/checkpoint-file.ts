/** The state of a long run in one file that is replaced as a whole. */
import { open, rename, rm } from "node:fs/promises";
import { checkpointProblem } from "./checkpoint-problem.js";

/**
 * Replaces a checkpoint; returns when it outlasts a power failure. The temporary name is always the same, so that a
 * killed run leaves no trail of files. Throws an EnvironmentError if it cannot be written; the one before is then still
 * there.
 */
export async function replaceCheckpoint(path: string, parts: Iterable<Uint8Array>): Promise<void> {
  const temporary = `${path}.new`;
  try {
    const file = await open(temporary, "w");
    try {
      for (const part of parts) {
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
