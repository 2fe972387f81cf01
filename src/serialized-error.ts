/** Errors on their way between threads and processes, where classes are lost. */
import {
  CancelledError,
  EnvironmentError,
  type ErrorDetails,
  InternalError,
  LopsidedError,
  MalformedInputError,
  UsageError,
} from "./errors.js";

export interface SerializedError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly details: ErrorDetails;
}

/** An error in a form that survives the way. */
export function serializeError(error: unknown): SerializedError {
  if (error instanceof LopsidedError) {
    return { name: error.name, message: error.message, stack: error.stack, details: error.details };
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { name: "InternalError", message, stack, details: {} };
}

const classes = new Map(
  [MalformedInputError, UsageError, EnvironmentError, CancelledError, InternalError].map((type) => [
    type.name,
    type,
  ]),
);

/** The error again, of the same class; one that is not of ours becomes an InternalError. */
export function deserializeError({ name, message, stack, details }: SerializedError): LopsidedError {
  const error = new (classes.get(name) ?? InternalError)(message, details);
  if (stack !== undefined) {
    error.stack = stack;
  }
  return error;
}
