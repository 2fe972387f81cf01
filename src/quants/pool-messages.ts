/** What the encoder pool and its threads say to each other. */
import type { SerializedError } from "../serialized-error.js";
import type { Done, Work } from "./work.js";

export type PoolTask = Work & { readonly id: number };

export type Reply =
  | { readonly id: number; readonly done: Done }
  | { readonly id: number; readonly error: SerializedError };
