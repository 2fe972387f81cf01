/** What a family of models is: everything that is to be known to convert one. */
import type { ConversionTarget } from "./conversion.js";
import type { Fields } from "./fields.js";
import type { LayerCount } from "./layer-count.js";
import type { MetadataRule } from "./metadata-rules.js";
import type { Sizes, TensorRule } from "./tensor-rules.js";
import type { TokenizerTraits } from "./tokenizer/tokenizer.js";

/** Layers that predict tokens further ahead. */
export interface PredictionLayers {
  /** How many a checkpoint has: config.json says so, or its tensors. */
  readonly count: (config: Fields, names: Iterable<string>) => number;
  /** Whether llama.cpp reads them from the model's own file; otherwise only from one of their own, or not at all. */
  readonly kept: "with the model" | "on their own" | "never";
}

/** A tensor that is computed from config.json. */
export interface ComputedTensor {
  readonly name: string;
  readonly values: readonly number[];
}

/** Tensors of a checkpoint that have no place in the GGUF file of the text model. */
export interface LeftOut {
  readonly names: RegExp;
  /** What they are, for a note; undefined if they are buffers that nobody misses. */
  readonly what?: string;
}

export interface ModelFamily {
  /** Names in `architectures` of config.json. */
  readonly huggingFace: readonly string[];
  /** `general.architecture` in GGUF. */
  readonly gguf: string;
  /** Rules for experts stand in the order in which llama.cpp's converter writes the stacked tensors. */
  readonly tensors: readonly TensorRule[];
  /** All keys under the architecture's name, in the order of the file; of two with one key the later one counts. */
  readonly metadata: readonly MetadataRule[];
  /** All sizes that the rules name; throws if config.json lacks one or asks for what llama.cpp cannot run. */
  readonly sizes: (config: Fields) => Sizes;
  /** Sizes that are others in some layers. */
  readonly layerSizes?: (config: Fields, layer: number) => Sizes;
  /** Words for the kinds of a layer; rules with `layers` apply to the layers that have their word. */
  readonly layerKinds?: (config: Fields, layer: number, count: LayerCount) => readonly string[];
  readonly prediction?: PredictionLayers;
  readonly leftOut?: readonly LeftOut[];
  /** The name that the rules know a tensor by; undefined if it is not wanted. */
  readonly rename?: (name: string, count: LayerCount, config: Fields) => string | undefined;
  /** Kinds of rope scaling beside linear and YaRN that the family's own rules know what to do with. */
  readonly ropeKinds?: readonly string[];
  readonly computed?: (config: Fields) => readonly ComputedTensor[];
  /** FP8 becomes Q8_0 and all else stays what it is, whatever type is asked for. */
  readonly keepsSourceTypes?: boolean;
  /** Tensors that have the same type in every converted file. */
  readonly fixedTypes?: ReadonlyMap<string, ConversionTarget>;
  readonly tokenizer?: TokenizerTraits;
}
