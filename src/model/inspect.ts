/** `inspect`: what is in a model. */

import { shownAddress } from "../bytes/address.js";
import { metadataString } from "../gguf/metadata.js";
import { type InspectOptions, inspectCommand } from "./inspect-command.js";
import { openModel } from "./open.js";
import { type ListedTensor, type ModelSummary, summarize, tensorsWithRoles } from "./summary.js";

export interface InspectResult extends ModelSummary {
  /** The path asked for; an address without what may be a password. */
  readonly model: string;
  readonly architecture: string;
  /** `general.name`, if the model has one. */
  readonly name: string | undefined;
  /** Size of the file or files. */
  readonly bytes: number;
  readonly tensors: readonly ListedTensor[];
  /** What of the source is not in this model. */
  readonly notes: readonly string[];
}

/** Reads headers only. Errors: see `openModel`. */
export async function inspect(given: InspectOptions): Promise<InspectResult> {
  const { model, signal } = inspectCommand.read(given);
  const source = await openModel(model, { signal });
  try {
    const tensors = tensorsWithRoles(source);
    return {
      model: shownAddress(model),
      architecture: metadataString(source.metadata, "general.architecture") ?? "unknown",
      name: metadataString(source.metadata, "general.name"),
      bytes: source.byteLength,
      ...summarize(tensors),
      tensors,
      notes: source.notes ?? [],
    };
  } finally {
    await source.close();
  }
}
