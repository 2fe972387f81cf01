/** What the end of the engine's child process means. */
import { EnvironmentError, type LopsidedError, MalformedInputError } from "../errors.js";
import { explain } from "./failures.js";
import type { LogLine } from "./log.js";

/** Signals that native code brings upon itself: assertions, C++ exceptions, wild pointers, bad instructions. */
const crashes: ReadonlyMap<string, string> = new Map([
  ["SIGABRT", "it found an inconsistency and aborted"],
  ["SIGSEGV", "it read or wrote memory that is not there"],
  ["SIGBUS", "it read a part of a file or of memory that is not there"],
  ["SIGFPE", "it made an impossible division"],
  ["SIGILL", "it used an instruction that this processor does not have"],
]);

/**
 * The error for a child that ended by itself.
 * @param step what it was doing, with the model's path
 * @param lines its last log lines
 */
export function crashError(
  step: string,
  lines: readonly LogLine[],
  code: number | null,
  signal: NodeJS.Signals | null,
): LopsidedError {
  const words = explain(lines);
  const details = { step, code: code ?? undefined, signal: signal ?? undefined, log: words };
  const quote = words === "" ? "" : ` Its last words: ${words}`;
  if (signal === "SIGKILL") {
    return new EnvironmentError(
      `llama.cpp's process was killed while ${step}: most likely memory ran out, so use a smaller model, context or batch, or free memory.`,
      details,
    );
  }
  const reason =
    signal === null ? `it ended with status ${code}` : (crashes.get(signal) ?? `it got ${signal}`);
  const message = `llama.cpp crashed while ${step}: ${reason}.${quote}`;
  // What goes wrong while a file is read is the file's fault; later it is a matter of the machine or the library.
  return step.startsWith("loading")
    ? new MalformedInputError(message, details)
    : new EnvironmentError(message, details);
}

/** The error for a child that was killed because it had fallen silent. */
export function silenceError(step: string): LopsidedError {
  return new EnvironmentError(
    `llama.cpp's process answered nothing for half a minute while ${step}, and was ended: it was stopped, or the machine is overloaded.`,
    { step },
  );
}
