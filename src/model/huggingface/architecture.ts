import type { Metadata } from "../../gguf/metadata.js";
import type { Fields } from "./fields.js";

/** Sizes that tensor shapes are written in, and the number of layers, from config.json. */
export type Dimension =
  | "layers"
  | "hidden"
  | "vocabulary"
  | "head"
  | "queries"
  | "keys"
  | "feedForward"
  | "experts"
  | "expertFeedForward"
  | "sharedFeedForward"
  | "one";

export type Dimensions = Readonly<Partial<Record<Dimension, number>>>;

/**
 * One line of an architecture's naming table. `{layer}` and `{expert}` stand for numbers. A rule with
 * `{expert}` stacks the experts: row stretch after row stretch, along a last dimension. A rule with several
 * targets cuts every expert's rows into as many equal parts.
 */
export interface TensorRule {
  /** Hugging Face name. */
  readonly from: string;
  /** GGUF name, or several that share one Hugging Face tensor. */
  readonly to: string | readonly string[];
  /** Shape of each target in GGUF order: row length first. */
  readonly shape: readonly Dimension[];
  /** Whether a model may lack it: always, or only if config.json ties the output to the embedding. */
  readonly optional?: "always" | "if tied";
}

/** What is to be known of a model family to convert it. */
export interface HuggingFaceArchitecture {
  /** `architectures[0]` in config.json. */
  readonly huggingFace: string;
  /** `general.architecture` in GGUF. */
  readonly gguf: string;
  /** Rules for experts stand in the order in which llama.cpp's converter writes the stacked tensors. */
  readonly tensors: readonly TensorRule[];
  /** All sizes that the rules name; throws if config.json lacks one or asks for what llama.cpp cannot run. */
  dimensions(config: Fields): Dimensions;
  /** Keys that this family has beyond those of every text model, after them in the file. */
  metadata(config: Fields): Metadata;
}
