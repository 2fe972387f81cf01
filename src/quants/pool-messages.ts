/** What the encoder pool and its threads say to each other. */
import type { SerializedError } from "../serialized-error.js";
import type { KernelModule } from "./kernels/kernels.js";
import type { Done, Work } from "./work.js";

/** `workerData` of a thread. */
export interface EncoderThreadSetup {
  readonly kernels: KernelModule | undefined;
}

export type PoolTask = Work & { readonly id: number };

export type Reply =
  | { readonly id: number; readonly done: Done }
  | { readonly id: number; readonly error: SerializedError };
