/** What the encoder pool and its threads say to each other. */
import {
  type ErrorDetails,
  InternalError,
  LopsidedError,
  MalformedInputError,
  UsageError,
} from "../errors.js";
import type { KernelModule } from "./kernels/kernels.js";
import type { Slice, Transcoded } from "./transcode.js";

/** `workerData` of a thread. */
export interface WorkerSetup {
  readonly kernels: KernelModule | undefined;
}

export interface Task {
  readonly id: number;
  readonly slice: Slice;
}

export type Reply =
  | { readonly id: number; readonly done: Transcoded }
  | { readonly id: number; readonly error: PackedError };

/** An error in a form that survives the way between threads, where classes are lost. */
export interface PackedError {
  readonly kind: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly details: ErrorDetails;
}

export function packError(error: unknown): PackedError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  if (error instanceof LopsidedError) return { kind: error.kind, message, stack, details: error.details };
  return { kind: "unknown", message, stack, details: {} };
}

export function unpackError({ kind, message, stack, details }: PackedError): LopsidedError {
  if (kind === "malformed-input") return new MalformedInputError(message, details);
  if (kind === "usage") return new UsageError(message, details);
  const error = new InternalError(message, details);
  if (stack !== undefined) error.stack = stack;
  return error;
}
