/** Second moments as one quantization run uses them: which tensors have some, checked against the model. */
import { UsageError } from "../errors.js";
import { layerOf, nextnLayersOf } from "../model/roles.js";
import type { SourceTensor } from "../model/source.js";
import { weightCount } from "../model/source.js";
import {
  addSums,
  fewTokensPerColumn,
  mixWithPool,
  type PooledMoments,
} from "../quants/output-aware/pooled-moments.js";
import { type InputMoments, isRefinable } from "../quants/output-aware/refine.js";
import { sharedInput } from "../quants/shared-input.js";
import type { TypeName } from "../quants/types.js";
import { sharedFloats } from "../threads/shared.js";
import { MomentsFile, type StoredMoments } from "./file.js";
import { inputOf, type WeightInput } from "./inputs.js";

/**
 * Reads the moments of an expert, or of the only matrix. Few tokens' moments of routed gate and up are mixed with the
 * sums over all experts; of another input an expert that saw no token has none.
 */
export type ReadMoments = (expert: number) => Promise<InputMoments | undefined>;

/** Moments of the inputs of a model's tensors. */
export class ModelMoments {
  /** The matrix read last, which the next slice is likely to want again. */
  #latest: { readonly name: string; readonly moments: Promise<InputMoments> } | undefined;

  /** The sum over all experts of the input that wanted it last. */
  #pool: { readonly input: string; readonly pooled: Promise<PooledMoments> } | undefined;

  readonly #file: MomentsFile;

  private constructor(file: MomentsFile) {
    this.#file = file;
  }

  /** Opens a moments file. Throws a UsageError if it is another model's. */
  static async open(path: string, tensors: readonly SourceTensor[]): Promise<ModelMoments> {
    const file = await MomentsFile.open(path);
    try {
      checkModel(file, tensors);
      return new ModelMoments(file);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * A function that reads the moments of each expert of a tensor, if the file has them and the type uses them; of a
   * tensor with padded columns it has none.
   */
  of(tensor: SourceTensor, type: TypeName): ReadMoments | undefined {
    if (tensor.type === type || !isRefinable(type, tensor.shape[0] ?? 1)) {
      return undefined;
    }
    return this.forEncoding(tensor)?.read;
  }

  /** The moments of a tensor's input whatever its type will be, as `of` has them. */
  forEncoding(tensor: SourceTensor): { isPerExpert: boolean; read: ReadMoments } | undefined {
    const input = inputOf(tensor.name);
    const stored = input && this.#file.inputs.get(input.name);
    if (input === undefined || stored === undefined || stored.columns !== tensor.shape[0]) {
      return undefined;
    }
    const isPerExpert = stored.counts.length > 1;
    return { isPerExpert, read: (expert) => this.#read(input, stored, isPerExpert ? expert : 0) };
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #read(input: WeightInput, stored: StoredMoments, index: number): Promise<InputMoments | undefined> {
    const { columns, counts } = stored;
    const isPooled = input.routedIn && counts.length > 1 && counts.some((count) => count > 0);
    const isMixed = isPooled && (counts[index] ?? 0) < fewTokensPerColumn * columns;
    if (counts[index] === 0 && !isMixed) {
      return undefined;
    }
    const name = `${this.#file.name}: "${input.name}", matrix ${index}`;
    if (this.#latest?.name !== name) {
      this.#latest = { name, moments: this.#load(name, input.name, stored, { index, isMixed }) };
    }
    return this.#latest.moments;
  }

  async #load(
    name: string,
    input: string,
    stored: StoredMoments,
    { index, isMixed }: { readonly index: number; readonly isMixed: boolean },
  ): Promise<InputMoments> {
    const vectors = stored.counts[index] ?? 0;
    const sums = await this.#file.matrix(input, index);
    if (isMixed) {
      const pool = await this.#poolOf(input, stored);
      mixWithPool(sums, vectors, pool, { columns: stored.columns, isPacked: true });
    }
    const shared = sharedFloats(sums.length);
    shared.set(sums);
    return { name, sums: sharedInput(shared), vectors };
  }

  #poolOf(input: string, stored: StoredMoments): Promise<PooledMoments> {
    if (this.#pool?.input !== input) {
      this.#pool = { input, pooled: this.#sumOf(input, stored) };
    }
    return this.#pool.pooled;
  }

  async #sumOf(input: string, { counts }: StoredMoments): Promise<PooledMoments> {
    const sums = await this.#file.matrix(input, 0);
    for (let index = 1; index < counts.length; index++) {
      addSums(sums, await this.#file.matrix(input, index));
    }
    return { sums, vectors: counts.reduce((sum, count) => sum + count, 0) };
  }
}

/** Throws unless every input of the file fits the model, and no layer is left out where others are there. */
function checkModel(file: MomentsFile, tensors: readonly SourceTensor[]): void {
  const kinds = new Set([...file.inputs.keys()].map(withoutLayer));
  // Layers that predict further tokens are not run everywhere.
  const nextn = nextnLayersOf(tensors.map(({ name }) => name));
  let known = 0;
  for (const { name, shape } of tensors) {
    const input = inputOf(name)?.name;
    const mayLack = nextn.has(layerOf(name) ?? -1);
    if (input === undefined || (mayLack && !file.inputs.has(input))) {
      continue;
    }
    const stored = file.inputs.get(input);
    if (stored !== undefined) {
      checkShape(file, input, stored, name, shape);
      known++;
    } else if (kinds.has(withoutLayer(input))) {
      throw new UsageError(
        `${file.name}: has no moments of "${input}", the input of "${name}", though it has those of other layers; collect them again with "lopsided imatrix --moments", or merge the file that has them.`,
        { file: file.name, tensor: name },
      );
    }
  }
  if (known > 0) {
    return;
  }
  const [example] = file.inputs.keys();
  throw new UsageError(
    `${file.name}: has no moments for any tensor of the model (its first are of "${example}"); it is the moments file of another model.`,
    { file: file.name },
  );
}

function checkShape(
  file: MomentsFile,
  input: string,
  { columns, counts }: StoredMoments,
  tensor: string,
  [length = 1, , experts = 1]: readonly number[],
): void {
  if (columns === length && (counts.length === 1 || counts.length === experts)) {
    return;
  }
  throw new UsageError(
    `${file.name}: "${input}" has ${counts.length} matrices of ${columns} columns, but tensor "${tensor}" has ${experts} of ${length}. These are the moments of another model; collect those of this one with "lopsided imatrix --moments".`,
    { file: file.name, tensor },
  );
}

function withoutLayer(input: string): string {
  return input.replace(/^blk\.\d+\./, "");
}

/** What to tell about the tensors that are encoded without moments, or undefined if there are none. */
export function withoutMoments(
  tensors: readonly { readonly source: SourceTensor; readonly type: TypeName; readonly moments?: unknown }[],
): string | undefined {
  const rest = tensors.filter(
    ({ source, type, moments }) =>
      moments === undefined && source.type !== type && isRefinable(type, source.shape[0] ?? 1),
  );
  if (rest.length === 0) {
    return undefined;
  }
  const weights = rest.reduce((sum, { source }) => sum + weightCount(source.shape), 0);
  const total = tensors.reduce((sum, { source }) => sum + weightCount(source.shape), 0);
  const share = ((100 * weights) / total).toFixed(1);
  return `${rest.length} tensors (${share} % of the weights, the first is ${rest[0]?.source.name}) have neither moments nor activations and are encoded by their importance alone.`;
}
