/** Kept activations as one quantization run uses them: which tensors have some, checked against the model. */
import { createHash } from "node:crypto";
import { floatsOf } from "../bytes/floats.js";
import { UsageError } from "../errors.js";
import { layerOf, roleOf } from "../model/roles.js";
import type { SourceTensor } from "../model/source.js";
import { type ActivationName, expertFunctions, hasGate } from "../quants/output-aware/expert-activation.js";
import type { ExpertWeights } from "../quants/output-aware/expert-hidden.js";
import type { ExpertRows, KeptLayer } from "../quants/output-aware/expert-moments.js";
import { isRefinable } from "../quants/output-aware/refine.js";
import type { StoredMatrix } from "../quants/output-aware/stored-matrix.js";
import { type TypeName, traitsOf } from "../quants/types.js";
import { KeptFile } from "./file.js";
import { keptInputName } from "./layers.js";

/** A layer in memory. */
interface Loaded {
  readonly layer: KeptLayer;
  /** What its experts compute; undefined if it is none of the functions that are known. */
  readonly activation: ActivationName | undefined;
  readonly counts: Float64Array;
}

/** Activations of one or several texts, for the routed experts of a model. One layer is in memory at a time. */
export class ModelActivations {
  readonly #files: readonly KeptFile[];
  readonly #tensors: ReadonlyMap<string, SourceTensor>;
  #latest: { readonly input: string; readonly loaded: Promise<Loaded> } | undefined;
  #latestWeights: { readonly key: string; readonly weights: Promise<ExpertWeights | undefined> } | undefined;

  private constructor(files: readonly KeptFile[], tensors: readonly SourceTensor[]) {
    this.#files = files;
    this.#tensors = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  }

  /**
   * Opens files; their tokens count as those of one text. Throws a UsageError if one is another model's.
   * @param run that they bear the mark of, if it is not over
   */
  static async open(
    paths: readonly string[],
    tensors: readonly SourceTensor[],
    run?: string,
  ): Promise<ModelActivations> {
    const files: KeptFile[] = [];
    try {
      for (const path of paths) {
        const file = await KeptFile.open(path, run);
        files.push(file);
        checkModel(file, tensors);
      }
      return new ModelActivations(files, tensors);
    } catch (error) {
      await Promise.all(files.map((file) => file.close()));
      throw error;
    }
  }

  /**
   * A function that gives what the moments of each expert of a tensor are made of, if there are activations and the
   * type uses moments.
   */
  of(tensor: SourceTensor, type: TypeName) {
    if (tensor.type === type || !isRefinable(type, tensor.shape[0] ?? 1)) {
      return undefined;
    }
    return this.forEncoding(tensor)?.read;
  }

  /** The same whatever the type will be. */
  forEncoding(
    tensor: SourceTensor,
  ): { isPerExpert: boolean; read: (expert: number) => Promise<ExpertRows | undefined> } | undefined {
    const role = roleOf(tensor.name);
    const input = keptInputName(layerOf(tensor.name) ?? -1);
    const stored = this.#files.find(({ inputs }) => inputs.has(input))?.inputs.get(input);
    if (!role.startsWith("routed.") || stored === undefined) {
      return undefined;
    }
    if (role !== "routed.down") {
      const isSame = stored.columns === tensor.shape[0];
      return isSame ? { isPerExpert: true, read: (expert) => this.#inputRows(input, expert) } : undefined;
    }
    return this.#up(tensor) === undefined
      ? undefined
      : { isPerExpert: true, read: (expert) => this.#downRows(input, tensor, expert) };
  }

  /** Tokens that an expert saw for each dimension of its input, the mean over all. */
  get tokensPerDimension(): number {
    const shares = new Map<string, number>();
    for (const { inputs } of this.#files) {
      for (const [name, { tokens, slots, experts, columns }] of inputs) {
        shares.set(name, (shares.get(name) ?? 0) + (tokens * slots) / experts / columns);
      }
    }
    return [...shares.values()].reduce((sum, share) => sum + share, 0) / shares.size;
  }

  /** One sentence for each thing that activations cannot do for this model. */
  async warnings(): Promise<string[]> {
    const found = new Set<string>();
    for (const [input] of this.#files[0]?.inputs ?? []) {
      const name = await this.#files[0]?.activationOf(input);
      if (name !== undefined && !(name in expertFunctions)) {
        found.add(name);
      }
    }
    return [...found].map(
      (name) =>
        `what experts compute ("${name}") is not known, so that the inputs of their down matrices cannot be computed: those are encoded by the matrices of \`moments\`, or by their importance alone.`,
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#files.map((file) => file.close()));
  }

  async #inputRows(input: string, expert: number): Promise<ExpertRows | undefined> {
    const { layer, counts } = await this.#load(input);
    const name = `${this.#files[0]?.name}: "${input}", expert ${expert}`;
    return { name, layer, expert, vectors: counts[expert] ?? 0 };
  }

  async #downRows(input: string, down: SourceTensor, expert: number): Promise<ExpertRows | undefined> {
    const { layer, counts, activation } = await this.#load(input);
    const vectors = counts[expert] ?? 0;
    if (vectors === 0 || activation === undefined) {
      return undefined;
    }
    const key = `${input} ${expert}`;
    if (this.#latestWeights?.key !== key) {
      this.#latestWeights = { key, weights: this.#weights(down, expert, activation) };
    }
    const weights = await this.#latestWeights.weights;
    const name = `${this.#files[0]?.name}: "${input}", expert ${expert}`;
    return weights && { name, layer, expert, vectors, weights };
  }

  #load(input: string): Promise<Loaded> {
    if (this.#latest?.input !== input) {
      this.#latest = { input, loaded: this.#loadAll(input) };
    }
    return this.#latest.loaded;
  }

  async #loadAll(input: string): Promise<Loaded> {
    const parts = [];
    for (const file of this.#files.filter(({ inputs }) => inputs.has(input))) {
      parts.push(await file.load(input));
    }
    const [first] = parts;
    const counts = new Float64Array(first?.counts.length ?? 0);
    for (const part of parts) {
      for (const [expert, count] of part.counts.entries()) {
        counts[expert] = (counts[expert] ?? 0) + count;
      }
    }
    const hash = createHash("sha256");
    for (const { sha256 } of parts) {
      hash.update(sha256);
    }
    const columns = first?.rows.columns ?? 0;
    const layer = { sha256: hash.digest("hex"), columns, parts: parts.map(({ rows }) => rows) };
    const known = parts.every(
      ({ activation }) => activation === first?.activation && activation in expertFunctions,
    );
    return { layer, counts, activation: known ? (first?.activation as ActivationName) : undefined };
  }

  /** The tensor with the rows of up, and where they begin in each expert. */
  #up(down: SourceTensor): { tensor: SourceTensor; first: number } | undefined {
    const layer = layerOf(down.name);
    const up = this.#tensors.get(`blk.${layer}.ffn_up_exps.weight`);
    if (up !== undefined) {
      return { tensor: up, first: 0 };
    }
    const both = this.#tensors.get(`blk.${layer}.ffn_gate_up_exps.weight`);
    return both && { tensor: both, first: (both.shape[1] ?? 0) / 2 };
  }

  /** Gate and up of an expert; undefined if they cannot be read, or have other sizes than the down matrix. */
  async #weights(
    down: SourceTensor,
    expert: number,
    activation: ActivationName,
  ): Promise<ExpertWeights | undefined> {
    const [width = 0] = down.shape;
    const layer = layerOf(down.name);
    const up = this.#up(down);
    const separate = this.#tensors.get(`blk.${layer}.ffn_gate_exps.weight`);
    const gate = separate ? { tensor: separate, first: 0 } : up && { tensor: up.tensor, first: 0 };
    const read = async (
      from: NonNullable<typeof up>,
      part: "gate" | "up",
    ): Promise<StoredMatrix | undefined> => {
      const { tensor, first } = from;
      const [, rows = 0] = tensor.shape;
      if (rows - first < width || !traitsOf(tensor.type).canDecode) {
        return undefined;
      }
      const bytes = await tensor.readRows(expert * rows + first, width);
      return { type: tensor.type, bytes, bias: await this.#bias(layer, part, from, expert, width) };
    };
    const upMatrix = up && (await read(up, "up"));
    const gateMatrix = hasGate(activation) && gate ? await read(gate, "gate") : undefined;
    if (upMatrix === undefined || (hasGate(activation) && gateMatrix === undefined)) {
      return undefined;
    }
    const hash = createHash("sha256")
      .update(`${activation} ${width} ${upMatrix.type}`)
      .update(upMatrix.bytes);
    for (const bytes of [gateMatrix?.bytes, gateMatrix?.bias, upMatrix.bias]) {
      hash.update(bytes ?? "-");
    }
    return { sha256: hash.digest("hex"), width, gate: gateMatrix, up: upMatrix, activation };
  }

  async #bias(
    layer: number | undefined,
    part: "gate" | "up",
    { tensor, first }: { tensor: SourceTensor; first: number },
    expert: number,
    width: number,
  ): Promise<Float32Array | undefined> {
    const name = tensor.name.includes("gate_up") ? "gate_up" : part;
    const bias = this.#tensors.get(`blk.${layer}.ffn_${name}_exps.bias`);
    if (bias === undefined || bias.type !== "F32") {
      return undefined;
    }
    return floatsOf(await bias.readRows(expert, 1)).slice(first, first + width);
  }
}

/** Throws a UsageError unless every input of the file fits the model, and all its layers are there. */
function checkModel(file: KeptFile, tensors: readonly SourceTensor[]): void {
  let known = 0;
  for (const { name, shape } of tensors) {
    const input = keptInputName(layerOf(name) ?? -1);
    const stored = file.inputs.get(input);
    if (stored === undefined || !/\.ffn_(?:gate|up|gate_up)_exps\.weight$/.test(name)) {
      continue;
    }
    known++;
    const [columns = 1, , experts = 1] = shape;
    if (stored.columns !== columns || stored.experts !== experts) {
      throw new UsageError(
        `${file.name}: "${input}" has vectors of ${stored.columns} values for ${stored.experts} experts, but tensor "${name}" has ${experts} of ${columns}. These are the activations of another model; keep those of this one with "lopsided imatrix --activations".`,
        { file: file.name, tensor: name },
      );
    }
  }
  if (known === 0) {
    throw new UsageError(
      `${file.name}: has no activations for any tensor of the model; it is the file of another model.`,
      { file: file.name },
    );
  }
}
