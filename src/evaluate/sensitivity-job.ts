/**
 * The part of measuring sensitivity that happens beside the model: put noise on one tensor in memory, decode the
 * chunks, compare with what the model said before, put the tensor back.
 */
import { createHash } from "node:crypto";
import type { ModelContext } from "../engine/context.js";
import { defineJob, type JobHost } from "../engine/job.js";
import type { Model, ModelOptions } from "../engine/model.js";
import { Kernels } from "../quants/kernels/kernels.js";
import { loadKernels } from "../quants/kernels/load.js";
import { addStatistics, noStatistics, relativeError, type Statistics } from "../quants/statistics.js";
import { rowBytes, type TypeName, traitsOf } from "../quants/types.js";
import { Workspace } from "../quants/workspace.js";
import { batchesOf, batchTokens, cutIntoChunks, sequencesTogether, type TextChunks } from "./chunks.js";
import { perturbRows, SignSource } from "./perturbation.js";
import { decodeChunks, noNumbers } from "./scorers.js";
import { compareRows } from "./softmax.js";
import { readText } from "./text.js";

/** A tensor to put noise on. */
export interface TensorToPerturb {
  readonly name: string;
  readonly type: TypeName;
  /** GGUF order: row length first. */
  readonly shape: readonly number[];
  /** For each expert: importance of the columns, and its share of the tokens. */
  readonly experts: readonly { readonly importance?: Float32Array; readonly share: number }[] | undefined;
  /** Relative sizes of the noise to try. */
  readonly levels: readonly number[];
}

export interface SensitivityParams {
  readonly model: ModelOptions;
  /** Path of the text. */
  readonly text: string;
  readonly context: number;
  readonly chunks: number | undefined;
  readonly parseSpecial: boolean;
  readonly threads: number | undefined;
  readonly tensors: readonly TensorToPerturb[];
}

/** One tensor with noise of one size. */
export interface SensitivityEvent {
  readonly name: string;
  readonly level: number;
  /** Importance-weighted relative error that the noise really is. */
  readonly error: number;
  /** Mean KL divergence from the model without noise. */
  readonly kld: number;
}

export interface SensitivityOutcome {
  readonly chunks: number;
  /** Scored positions that were compared. */
  readonly positions: number;
}

/** SHA-256 of the tokens that a run would decode: what an unfinished run is told by. */
export const identifyText = defineJob(
  import.meta.url,
  "identifyText",
  async (params: Omit<SensitivityParams, "tensors">, host: JobHost): Promise<string> => {
    const { tokens } = await readChunks(params, host.model(params.model));
    return createHash("sha256").update(tokens).digest("hex");
  },
);

/** Measures each tensor at each level; tells every result at once, so that a run that is stopped loses little. */
export const measureSensitivity = defineJob(
  import.meta.url,
  "measureSensitivity",
  async (params: SensitivityParams, host: JobHost<SensitivityEvent>): Promise<SensitivityOutcome> => {
    const model = host.model({ ...params.model, plainWeights: true });
    const text = await readChunks(params, model);
    const probe = new Probe(model, text, params.threads);
    const { kernels } = loadKernels();
    const workspace = new Workspace(kernels && new Kernels(kernels));
    try {
      for (const tensor of params.tensors) {
        for (const level of tensor.levels) {
          host.emit({ name: tensor.name, level, ...perturbed(model, tensor, level, probe, workspace) });
        }
      }
      return { chunks: text.chunks, positions: probe.positions };
    } finally {
      probe.close();
    }
  },
);

function perturbed(
  model: Model,
  tensor: TensorToPerturb,
  level: number,
  probe: Probe,
  workspace: Workspace,
): { error: number; kld: number } {
  const weight = model.weights().get(tensor.name);
  // What the computation does not use costs nothing.
  if (weight === undefined) return { error: level, kld: 0 };
  // A copy: the view changes with the weights.
  const original = weight.bytes().slice();
  try {
    const error = writeNoise(model, tensor, level, original, workspace);
    return { error, kld: error > 0 ? probe.divergence() : 0 };
  } finally {
    model.writeWeight(tensor.name, original);
  }
}

/** Writes the tensor with noise, expert after expert; returns the relative error that this is. */
function writeNoise(
  model: Model,
  { name, type, shape, experts }: TensorToPerturb,
  level: number,
  original: Uint8Array,
  workspace: Workspace,
): number {
  const [columns = 1, rowsPerMatrix = 1] = shape;
  const matrixBytes = rowsPerMatrix * rowBytes(type, columns);
  const signs = new SignSource(`${name} ${level}`);
  let sum: Statistics = noStatistics;
  for (let expert = 0; expert * matrixBytes < original.byteLength; expert++) {
    const offset = expert * matrixBytes;
    const { importance, share } = experts?.[expert] ?? { importance: undefined, share: 1 };
    const rows = original.subarray(offset, offset + matrixBytes);
    const { bytes, statistics } = perturbRows(rows, { type, columns, level, importance, signs }, workspace);
    model.writeWeight(name, bytes, offset);
    const { energy, loss, error } = statistics;
    sum = addStatistics(sum, {
      ...statistics,
      energy: share * energy,
      loss: share * loss,
      error: share * error,
    });
  }
  return relativeError(sum);
}

async function readChunks(
  { text, context, chunks, parseSpecial }: Omit<SensitivityParams, "tensors">,
  model: Model,
): Promise<TextChunks> {
  return cutIntoChunks(text, model.tokenize(await readText(text), { parseSpecial }), { context, chunks });
}

/** Logits kept of the model without noise, in bytes: of a large vocabulary not every position. */
const keptLogitsBytes = 2 ** 30;

/** Positions with less context than this are left out; unlike in a perplexity, the others all count. */
function firstCompared(context: number): number {
  return Math.floor(context / 16);
}

/** The model on the text, and what it said before any noise. */
class Probe {
  readonly #context: ModelContext;
  readonly #reference: Float32Array[] = [];
  /** Every so-many-th scored position is compared. */
  readonly #stride: number;

  constructor(
    private readonly model: Model,
    private readonly text: TextChunks,
    threads: number | undefined,
  ) {
    const { vocabularySize } = model.facts;
    const scored = (text.context - firstCompared(text.context)) * text.chunks;
    this.#stride = Math.max(1, Math.ceil((4 * vocabularySize * scored) / keptLogitsBytes));
    this.#context = model.createContext({
      contextLength: text.context,
      sequences: this.#together,
      batchSize: batchTokens,
      ...(threads === undefined ? {} : { threads }),
    });
    this.#eachRow((logits, place) => {
      if (!logits.every(Number.isFinite)) throw noNumbers(model.path, place.chunk, place.position);
      this.#reference.push(logits.slice());
    });
  }

  get positions(): number {
    return this.#reference.length;
  }

  /** Mean KL divergence of the model as it is now. */
  divergence(): number {
    let [sum, count] = [0, 0];
    this.#eachRow((logits, place) => {
      const { divergence } = compareRows(this.#reference[count] ?? logits, logits);
      if (!Number.isFinite(divergence)) throw noNumbers(this.model.path, place.chunk, place.position);
      // Rounding can leave less than nothing of a divergence near zero.
      sum += Math.max(0, divergence);
      count++;
    });
    return sum / count;
  }

  close(): void {
    this.#context.close();
  }

  get #together(): number {
    const { context } = this.text;
    return sequencesTogether(context, context - firstCompared(context), this.model.facts.vocabularySize);
  }

  #eachRow(visit: (logits: Float32Array, place: { chunk: number; position: number }) => void): void {
    const { addsBos, bosToken, vocabularySize } = this.model.facts;
    const first = firstCompared(this.text.context);
    const batches = batchesOf(this.text, {
      sequences: this.#together,
      batchSize: this.#context.batchSize,
      logitsFrom: first,
      startToken: addsBos ? bosToken : undefined,
    });
    for (const batch of batches) {
      decodeChunks(this.#context, batch);
      const logits = this.#context.logits();
      for (const [row, place] of batch.rows.entries()) {
        if ((place.position - first) % this.#stride !== 0) continue;
        visit(logits.subarray(row * vocabularySize, (row + 1) * vocabularySize), place);
      }
    }
  }
}

/** Whether noise can be put on tensors of a type. */
export function canPerturb(type: TypeName): boolean {
  return traitsOf(type).canDecode && traitsOf(type).canEncode;
}
