/** What the encoder pool can do with a slice. */
import { type StoredSlice, type Survey, survey } from "./survey.js";
import { type Slice, type Transcoded, transcode } from "./transcode.js";
import type { Workspace } from "./workspace.js";

export type Work =
  | { readonly kind: "transcode"; readonly slice: Slice }
  | { readonly kind: "survey"; readonly slice: StoredSlice };

export type Done = Transcoded | Survey;

/** Does the work. */
export function perform(work: Work, workspace: Workspace): Done {
  return work.kind === "transcode" ? transcode(work.slice, workspace) : survey(work.slice, workspace);
}
