/** A Hugging Face model as a `ModelSource` that can also say what its tensors become in a converted file. */
import type { TypeName } from "../../quants/types.js";
import type { ModelSource, SourceTensor } from "../source.js";
import type { ConversionTarget } from "./conversion.js";

/** How a checkpoint is read; the names are those of the options of llama.cpp's converter. */
export interface ConversionOptions {
  /** Layers that predict further tokens (MTP): as the family has them by default, none, or nothing else. */
  readonly prediction?: "none" | "embedded" | "only" | undefined;
  /** The vision tower and its projector, and nothing of the text model. */
  readonly mmproj?: boolean | undefined;
  /** Gate and up of all experts of a layer as one tensor. */
  readonly fuseGateAndUp?: boolean | undefined;
  /** What is stored as FP8 becomes Q8_0 whatever type is asked for. */
  readonly fp8AsQ8?: boolean | undefined;
}

export interface HuggingFaceModel extends ModelSource {
  /** What the user should know: parts of the checkpoint that have no place in this file. */
  readonly notes: readonly string[];
  /** The type that loses least of what most matrices are stored as: llama.cpp's `auto`. */
  readonly storedTarget: ConversionTarget;
  /** Type of a tensor in a file converted to `target`. */
  conversionType(tensor: SourceTensor, target: ConversionTarget): TypeName;
  /** `general.file_type` of a file converted to `target`. */
  fileType(target: ConversionTarget): number;
}

/** Whether a model is a checkpoint that is read as one. */
export function isCheckpoint(model: ModelSource): model is HuggingFaceModel {
  return "conversionType" in model;
}
