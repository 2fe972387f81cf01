/**
 * The few kinds of failure, named by what the caller can do about them. Every message says where, what was
 * found, what was expected and what to do next, in one sentence or two.
 */

/** Machine-readable facts about an error, printed with `--json`. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | undefined>>;

/** Longest message, and longest text among its details: a name in it may be a stranger's, of any length. */
const longestText = 4000;

/** Base of all errors that Lopsided raises on purpose. */
export abstract class LopsidedError extends Error {
  /** Short, stable name of the kind, for `--json`. */
  abstract readonly kind: string;
  /** Exit status of the command line: 1 failed, 2 wrong usage. */
  readonly exitCode: number = 1;
  readonly details: ErrorDetails;

  constructor(message: string, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(shortened(message), options);
    this.name = new.target.name;
    this.details = Object.fromEntries(
      Object.entries(details).map(([name, value]) => [
        name,
        typeof value === "string" ? shortened(value) : value,
      ]),
    );
  }
}

/** Beginning and end of a text that is too long: the end of a message says what to do. */
function shortened(text: string): string {
  const half = longestText / 2;
  return text.length <= longestText ? text : `${text.slice(0, half)} [...] ${text.slice(-half)}`;
}

/** The input file is damaged or not what it claims to be: another file is needed. */
export class MalformedInputError extends LopsidedError {
  readonly kind = "malformed-input";
}

/** The request cannot be carried out as asked: another option is needed. */
export class UsageError extends LopsidedError {
  readonly kind = "usage";
  override readonly exitCode = 2;
}

/** Something around us is missing or full (library, disk, permission): mend it and try again. */
export class EnvironmentError extends LopsidedError {
  readonly kind = "environment";
}

/** The user stopped the work. */
export class CancelledError extends LopsidedError {
  readonly kind = "cancelled";
  override readonly exitCode = 130;
}

/** An invariant of our own does not hold: a bug in Lopsided. */
export class InternalError extends LopsidedError {
  readonly kind = "internal";
}

/** What is wrong when the system lets this process open no more files, if `error` says so. */
export function tooManyFiles(error: unknown): EnvironmentError | undefined {
  const code = systemErrorCode(error);
  const isSaid =
    code === "EMFILE" ||
    code === "ENFILE" ||
    (error instanceof Error && /too many open files/i.test(error.message));
  // Node.js takes a package's file that it may not open for one that is not there.
  const isLikely = code === "ERR_MODULE_NOT_FOUND" && mostOpenFiles() < enoughFiles;
  if (!isSaid && !isLikely) {
    return undefined;
  }
  const shown = code === "ENFILE" ? code : "EMFILE";
  const message = `too many files are open (${shown}); allow more, for example with "ulimit -n 1024", and try again.`;
  return new EnvironmentError(message, {}, { cause: error });
}

/** With so many files that a process may open, loading modules cannot be what opens too many. */
const enoughFiles = 512;

function mostOpenFiles(): number {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } };
  const most = report.userLimits?.open_files?.soft;
  return typeof most === "number" ? most : Number.POSITIVE_INFINITY;
}

/** The code of a Node.js system error (`ENOENT`, `ENOSPC`, ...), if it is one. */
export function systemErrorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
