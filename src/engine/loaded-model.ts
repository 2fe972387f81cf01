/** What a context needs to know of the model it computes with. */
import type { ModelFacts } from "./facts.js";
import type { NativeLibrary } from "./library.js";

export interface LoadedModel {
  readonly path: string;
  readonly facts: ModelFacts;
  readonly library: NativeLibrary;
  readonly options: {
    /** The model was loaded without its weights, to learn what it would take. */
    readonly measureOnly?: boolean | undefined;
    /** Layers on graphics processors, if there are any; all by default. */
    readonly gpuLayers?: number | undefined;
  };
  /** Whether the work was asked to stop. */
  readonly isCancelled: () => boolean;
}
