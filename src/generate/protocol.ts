/** What the parent and the generating job say to each other. */
import type { SerializedError } from "../serialized-error.js";
import type { PackedPieces } from "./packed-pieces.js";
import type { AnswerStart, Embedding, GenerateRequest } from "./request.js";

/** A request whose prompt is tokenized. */
export interface TokenizedRequest extends GenerateRequest {
  readonly prompt: readonly number[];
}

/** What the parent sends to the job. */
export type GenerateMessage =
  | { readonly type: "generate"; readonly id: number; readonly request: TokenizedRequest }
  | { readonly type: "embed"; readonly id: number; readonly tokens: readonly number[] }
  | { readonly type: "cancel"; readonly id: number }
  | { readonly type: "close" };

/** What the job tells the parent. */
export type GenerateEvent =
  | { readonly type: "ready"; readonly contextLength: number }
  | ({ readonly type: "started"; readonly id: number } & AnswerStart)
  /** The tokens of one batch, for all answers that got one. */
  | PackedPieces
  | { readonly type: "embedded"; readonly id: number; readonly embedding: Embedding }
  | { readonly type: "failed"; readonly id: number; readonly error: SerializedError };
