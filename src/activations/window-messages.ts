/** What a job that runs windows of layers asks of the process that can read the model, and the answers. */
import type { WindowRange } from "../model/layer-window.js";
import type { SerializedError } from "../serialized-error.js";

export type WindowRequest = {
  /** Counted through by the job, for its answer. */
  readonly request: number;
  /** Which of the job's models. */
  readonly model: number;
} & (
  | { readonly kind: "vocabulary"; readonly path: string }
  /** To be written to `path`, as the job's process names it. */
  | { readonly kind: "window"; readonly range: WindowRange; readonly path: string }
  /** Vectors of some tokens; the first time with all tokens that will ever be asked for. */
  | { readonly kind: "embeddings"; readonly tokens: Int32Array; readonly all?: Int32Array }
);

export type WindowReply =
  | { readonly request: number; readonly vectors?: Float32Array }
  | { readonly request: number; readonly error: SerializedError };

export function isWindowRequest(event: unknown): event is WindowRequest {
  return typeof event === "object" && event !== null && "request" in event && "model" in event;
}
