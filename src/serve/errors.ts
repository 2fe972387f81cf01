/** Failures in the form of OpenAI's API. */
import { CancelledError, EnvironmentError, LopsidedError, UsageError } from "../errors.js";

type ErrorStatus = 400 | 401 | 403 | 404 | 405 | 413 | 429 | 500 | 503;

/** An error with everything that its response says. */
export class ApiError extends Error {
  readonly status: ErrorStatus;
  readonly type: string;
  readonly code: string | null;
  /** Name of the field that is to blame. */
  readonly param: string | null;
  /** Seconds after which to try again. */
  readonly retryAfter: number | undefined;

  constructor(
    status: ErrorStatus,
    message: string,
    details: { type?: string; code?: string; param?: string; retryAfter?: number } = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "ApiError";
    this.status = status;
    this.type = details.type ?? (status >= 500 ? "server_error" : "invalid_request_error");
    this.code = details.code ?? null;
    this.param = details.param ?? null;
    this.retryAfter = details.retryAfter;
  }

  /** What the body of the response says. */
  toJSON(): { error: { message: string; type: string; param: string | null; code: string | null } } {
    const { message, type, param, code } = this;
    return { error: { message, type, param, code } };
  }
}

/** Codes of requests that cannot be carried out, by the reason in the error's details. */
const usageCodes = new Map([
  ["context-length", "context_length_exceeded"],
  ["grammar-too-slow", "grammar_too_slow"],
]);

/**
 * The response to a failure. What is not meant for the client's eyes becomes "internal error", and paths of this
 * machine lose their folders.
 */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) {
    return error;
  }
  const options = { cause: error };
  const message = error instanceof Error ? withoutFolders(error.message) : "";
  if (error instanceof UsageError) {
    const code = usageCodes.get(String(error.details.reason));
    return new ApiError(400, message, code === undefined ? {} : { code }, options);
  }
  if (error instanceof CancelledError) {
    return new ApiError(503, "the server is shutting down.", { code: "shutting_down" }, options);
  }
  if (error instanceof EnvironmentError) {
    return new ApiError(503, message, { code: "engine_failed", retryAfter: 1 }, options);
  }
  if (error instanceof LopsidedError && error.kind !== "internal") {
    return new ApiError(500, message, {}, options);
  }
  return new ApiError(500, "internal error; the server's log says more.", {}, options);
}

/** The folders of an absolute path, on any system. Those of addresses on the web stay. */
const folders = /(?<![\w.:/\\])(?:[A-Za-z]:[\\/]|file:\/\/\/|\/|\\\\)(?:[^\s/\\"'`:;,()]+[\\/])+/g;

/** A message whose paths are names of files alone. */
export function withoutFolders(message: string): string {
  return message.replace(folders, "");
}
