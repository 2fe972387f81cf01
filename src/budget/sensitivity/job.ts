/**
 * The part of measuring sensitivity that happens beside the model: put a little noise on all tensors, then more on
 * one tensor after another, and see by how much the divergence from the model without noise grows.
 *
 * Noise on one tensor of an otherwise perfect model would not do: any change at all, however small, sends some
 * tokens to other experts and rounds activations differently. That is paid once and not by each tensor, but it would
 * be found in each tensor's measurement, and outweigh what most of them cost. Amid noise it has been paid already.
 */
import { createHash } from "node:crypto";
import type { ModelContext } from "../../engine/context.js";
import { defineJob, type JobHost } from "../../engine/job.js";
import type { Model, ModelOptions } from "../../engine/model.js";
import { decodeChunks, noNumbers } from "../../evaluate/scorers.js";
import { compareRows } from "../../evaluate/softmax.js";
import { type Estimate, RunningStatistics } from "../../evaluate/statistics.js";
import { Kernels } from "../../quants/kernels/kernels.js";
import { loadKernels } from "../../quants/kernels/load.js";
import { addStatistics, noStatistics, relativeError, type Statistics } from "../../quants/statistics.js";
import { rowBytes, type TypeName, traitsOf } from "../../quants/types.js";
import { Workspace } from "../../quants/workspace.js";
import {
  batchesOf,
  batchTokens,
  cutIntoChunks,
  sequencesTogether,
  type TextChunks,
} from "../../text/chunks.js";
import { readTextFile, tokensOf } from "../../text/text.js";
import { perturbRows, SignSource } from "./perturbation.js";

/** A tensor to put noise on. */
export interface TensorToPerturb {
  readonly name: string;
  readonly type: TypeName;
  /** GGUF order: row length first. */
  readonly shape: readonly number[];
  /** For each expert: importance of the columns, and its share of the tokens. */
  readonly experts: readonly { readonly importance?: Float32Array; readonly share: number }[] | undefined;
  /** Whether to measure it; all others have their share of the noise, too. */
  readonly isWanted: boolean;
}

export interface SensitivityParams {
  readonly model: ModelOptions;
  /** Path of the text. */
  readonly text: string;
  readonly context: number;
  readonly chunks: number | undefined;
  readonly parseSpecial: boolean;
  readonly threads: number | undefined;
  /** All that may be quantized. */
  readonly tensors: readonly TensorToPerturb[];
  /** Relative size of the noise on all tensors. */
  readonly background: number;
  /** Relative size of the noise that one tensor has in addition. */
  readonly added: number;
  /** How often to measure on the whole text, with other noise each time. */
  readonly rounds: number;
}

/** What more noise on one tensor did. */
export interface SensitivityEvent {
  readonly name: string;
  /** Importance-weighted relative error that the added noise really is. */
  readonly error: number;
  /** By how much the mean KL divergence grew, and the standard error of that. */
  readonly growth: Estimate;
}

export interface SensitivityOutcome {
  readonly chunks: number;
  /** Scored positions that were compared. */
  readonly positions: number;
  /** Mean KL divergence of the model with noise on all tensors from the model without. */
  readonly background: Estimate;
}

/** SHA-256 of the tokens that a run would decode: what an unfinished run is told by. */
export const identifyText = defineJob(
  import.meta.url,
  "identifyText",
  async (params: TextParams, host: JobHost): Promise<string> => {
    const { tokens } = await readChunks(params, loadPlain(host, params));
    return createHash("sha256").update(tokens).digest("hex");
  },
);

/** Measures each tensor that is wanted; tells every result at once, so that a run that is stopped loses little. */
export const measureSensitivity = defineJob(
  import.meta.url,
  "measureSensitivity",
  async (params: SensitivityParams, host: JobHost<SensitivityEvent>): Promise<SensitivityOutcome> => {
    const { tensors, background, threads } = params;
    const model = loadPlain(host, params);
    try {
      const text = await readChunks(params, model);
      const probe = new Probe(model, text, threads);
      const { kernels } = loadKernels();
      const workspace = new Workspace(kernels && new Kernels(kernels));
      for (const tensor of tensors) {
        const original = bytesOf(model, tensor);
        if (original) {
          writeNoise(model, tensor, original, { draw: "background", level: background }, workspace);
        }
      }
      const before = probe.divergences();
      for (const tensor of tensors.filter(({ isWanted }) => isWanted)) {
        host.emit({ name: tensor.name, ...growthBy(model, tensor, params, { probe, before, workspace }) });
      }
      return { chunks: text.chunks, positions: before.length, background: estimate(before) };
    } finally {
      // What is in memory is no longer the model.
      model.close();
    }
  },
);

/** Both jobs load the model in the same way, so that it is loaded once. */
function loadPlain(host: JobHost<SensitivityEvent>, { model }: TextParams): Model {
  return host.model({ ...model, plainWeights: true });
}

function growthBy(
  model: Model,
  tensor: TensorToPerturb,
  { added, rounds }: SensitivityParams,
  { probe, before, workspace }: { probe: Probe; before: Float64Array; workspace: Workspace },
): Omit<SensitivityEvent, "name"> {
  const original = bytesOf(model, tensor);
  // What the computation does not use costs nothing.
  if (original === undefined) {
    return { error: added, growth: { mean: 0, error: 0 } };
  }
  const [error, growth] = [new RunningStatistics(), new RunningStatistics()];
  // One draw for all chunks could by chance hit the tokens or directions that a text has most of.
  const draw = () => {
    const noise = { draw: `added ${error.count}`, level: added };
    error.add(writeNoise(model, tensor, original, noise, workspace));
  };
  try {
    for (let round = 0; round < rounds; round++) {
      for (const [at, divergence] of probe.divergences(draw).entries()) {
        growth.add(divergence - (before[at] ?? 0));
      }
    }
  } finally {
    model.writeWeight(tensor.name, original);
  }
  return { error: error.estimate().mean, growth: growth.estimate() };
}

function estimate(values: Float64Array): Estimate {
  const moments = new RunningStatistics();
  for (const value of values) {
    moments.add(value);
  }
  return moments.estimate();
}

/** A copy, since the view changes with the weights; undefined if the computation does not use the tensor. */
function bytesOf(model: Model, { name }: TensorToPerturb): Uint8Array | undefined {
  return model.weights().get(name)?.bytes().slice();
}

/** Writes a tensor with noise, expert after expert; returns the relative error that the noise is. */
function writeNoise(
  model: Model,
  { name, type, shape, experts }: TensorToPerturb,
  original: Uint8Array,
  { draw, level }: { draw: string; level: number },
  workspace: Workspace,
): number {
  const [columns = 1, rowsPerMatrix = 1] = shape;
  const matrixBytes = rowsPerMatrix * rowBytes(type, columns);
  const signs = new SignSource(`${name} ${draw}`);
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

type TextParams = Pick<SensitivityParams, "model" | "text" | "context" | "chunks" | "parseSpecial">;

async function readChunks(
  { text, context, chunks, parseSpecial }: TextParams,
  model: Model,
): Promise<TextChunks> {
  const bytes = await readTextFile(text, tokensOf({ context, chunks }));
  return cutIntoChunks(text, model.tokenize(bytes, { parseSpecial }), { context, chunks });
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

  readonly #model: Model;
  readonly #text: TextChunks;

  constructor(model: Model, text: TextChunks, threads: number | undefined) {
    this.#model = model;
    this.#text = text;
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
      if (!logits.every(Number.isFinite)) {
        throw noNumbers(model.path, place.chunk, place.position);
      }
      this.#reference.push(logits.slice());
    });
  }

  /**
   * KL divergence of the model as it is now, at every position that is compared. `beforeGroup` is called before each
   * group of chunks that are decoded together.
   */
  divergences(beforeGroup?: () => void): Float64Array {
    const divergences = new Float64Array(this.#reference.length);
    let count = 0;
    this.#eachRow((logits, place) => {
      const { divergence } = compareRows(this.#reference[count] ?? logits, logits);
      if (!Number.isFinite(divergence)) {
        throw noNumbers(this.#model.path, place.chunk, place.position);
      }
      // Rounding can leave less than nothing of a divergence near zero.
      divergences[count++] = Math.max(0, divergence);
    }, beforeGroup);
    return divergences;
  }

  get #together(): number {
    const { context } = this.#text;
    return sequencesTogether(context, context - firstCompared(context), this.#model.facts.vocabularySize);
  }

  #eachRow(
    visit: (logits: Float32Array, place: { chunk: number; position: number }) => void,
    beforeGroup?: () => void,
  ): void {
    const { addsBos, bosToken, vocabularySize } = this.#model.facts;
    const first = firstCompared(this.#text.context);
    const batches = batchesOf(this.#text, {
      sequences: this.#together,
      batchSize: this.#context.batchSize,
      logitsFrom: first,
      startToken: addsBos ? bosToken : undefined,
    });
    for (const batch of batches) {
      if (batch.begins) {
        beforeGroup?.();
      }
      decodeChunks(this.#context, batch);
      const logits = this.#context.logits();
      for (const [row, place] of batch.rows.entries()) {
        if ((place.position - first) % this.#stride !== 0) {
          continue;
        }
        visit(logits.subarray(row * vocabularySize, (row + 1) * vocabularySize), place);
      }
    }
  }
}

/** Whether noise can be put on tensors of a type. */
export function canPerturb(type: TypeName): boolean {
  return traitsOf(type).canDecode && traitsOf(type).canEncode;
}
