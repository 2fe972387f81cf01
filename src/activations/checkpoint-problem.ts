/** What is said when the state of a long run cannot be saved. */
import { EnvironmentError, systemErrorCode } from "../errors.js";

/** The error to raise for what saving to `path` threw: one that names the file, if the system refused. */
export function checkpointProblem(path: string, cause: unknown): unknown {
  const code = systemErrorCode(cause);
  if (code === undefined) {
    return cause;
  }
  const reason =
    code === "ENOSPC" || code === "EDQUOT" ? "the disk is full" : `it cannot be written (${code})`;
  return new EnvironmentError(
    `${path}: ${reason}. Make room or write elsewhere, and run the same command again: it goes on from the last state saved.`,
    { file: path },
    { cause },
  );
}
