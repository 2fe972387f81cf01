/** What the encoder pool and its threads say to each other. */
import type { SerializedError } from "../serialized-error.js";
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
  | { readonly id: number; readonly error: SerializedError };
