/** What becomes of a result that cannot be printed. */
import { systemErrorCode } from "../errors.js";

/**
 * Has a standard output that fails (a full disk behind it) end in one sentence and status 1. A reader that went away,
 * as `head` does, is no failure.
 */
export function watchStandardOutput(): void {
  process.stdout.on("error", (error) => {
    const code = systemErrorCode(error) ?? String(error);
    if (code === "EPIPE") {
      return;
    }
    process.stderr.write(
      `lopsided: standard output: the result cannot be written (${code}); make room where it goes.\n`,
    );
    process.exitCode = 1;
  });
}
