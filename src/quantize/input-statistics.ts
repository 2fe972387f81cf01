/** What effort max knows of the inputs of weights: kept activations where there are some, and matrices for the rest. */
import { meaningOf } from "../imatrix/coverage.js";
import { ModelActivations } from "../kept/model-activations.js";
import type { KeptExperts } from "../model/pruned-experts.js";
import { layerOf } from "../model/roles.js";
import type { SourceTensor } from "../model/source.js";
import { fewTokensPerDimension } from "../moments/coverage.js";
import { ModelMoments } from "../moments/model-moments.js";
import type { InputMoments } from "../quants/output-aware/refine.js";
import type { TypeName } from "../quants/types.js";

export interface InputFiles {
  /** Path of a moments file. */
  readonly moments?: string | undefined;
  /** Paths of files of kept activations. */
  readonly activations?: readonly string[] | undefined;
  /** The mark of the run that the activations bear, if it is not over. */
  readonly run?: string | undefined;
}

/** Gives what an expert's moments are made of; undefined for one that saw no token. */
export type ReadInput = (expert: number) => Promise<InputMoments | undefined>;

export class InputStatistics {
  readonly #moments: ModelMoments | undefined;
  readonly #activations: ModelActivations | undefined;
  readonly #kept: KeptExperts | undefined;

  private constructor(
    moments: ModelMoments | undefined,
    activations: ModelActivations | undefined,
    kept: KeptExperts | undefined,
  ) {
    this.#moments = moments;
    this.#activations = activations;
    this.#kept = kept;
  }

  /**
   * Opens files, or returns undefined if none is named. Throws a UsageError if one is another model's.
   * @param collected tensors of the model as it was run
   * @param quantized the same, or with padded experts
   * @param kept experts that are quantized, if not all
   */
  static async open(
    { moments, activations = [], run }: InputFiles,
    collected: readonly SourceTensor[],
    quantized: readonly SourceTensor[] = collected,
    kept?: KeptExperts,
  ): Promise<InputStatistics | undefined> {
    if (moments === undefined && activations.length === 0) {
      return undefined;
    }
    const matrices = moments === undefined ? undefined : await ModelMoments.open(moments, collected);
    try {
      const activated =
        activations.length === 0 ? undefined : await ModelActivations.open(activations, quantized, run);
      return new InputStatistics(matrices, activated, kept);
    } catch (error) {
      await matrices?.close();
      throw error;
    }
  }

  /** A function for each expert of a tensor, if anything is known and the type uses it. */
  of(tensor: SourceTensor, type: TypeName): ReadInput | undefined {
    return this.#ofKept(tensor, this.#activations?.of(tensor, type) ?? this.#moments?.of(tensor, type));
  }

  /** The same whatever the type will be, and whether experts differ. */
  forEncoding(tensor: SourceTensor): { isPerExpert: boolean; read: ReadInput } | undefined {
    const found = this.#activations?.forEncoding(tensor) ?? this.#moments?.forEncoding(tensor);
    return found && { ...found, read: this.#ofKept(tensor, found.read) ?? found.read };
  }

  /** Files know experts by the numbers that they had before some were dropped. */
  #ofKept({ name }: SourceTensor, read: ReadInput | undefined): ReadInput | undefined {
    const experts = name.includes("_exps.") ? this.#kept?.get(layerOf(name) ?? -1) : undefined;
    return experts && read ? (expert) => read(experts[expert] ?? expert) : read;
  }

  /** What the files cannot do for this model, each a sentence. */
  async warnings(): Promise<string[]> {
    if (this.#activations === undefined) {
      return [];
    }
    const { tokensPerDimension } = this.#activations;
    const few = `the experts saw ${tokensPerDimension.toFixed(1)} tokens per dimension in the activations: ${meaningOf(tokensPerDimension)}.`;
    return [
      ...(tokensPerDimension < fewTokensPerDimension ? [few] : []),
      ...(await this.#activations.warnings()),
    ];
  }

  async close(): Promise<void> {
    await this.#moments?.close();
    await this.#activations?.close();
  }
}
