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
import { type JobFiles, joinFiles, readsModel } from "../../engine/job-files.js";
import type { Model, ModelOptions } from "../../engine/model.js";
import { InternalError } from "../../errors.js";
import { decodeChunks, noNumbers } from "../../evaluate/scorers.js";
import { type Estimate, RunningStatistics } from "../../evaluate/statistics.js";
import { Kernels } from "../../quants/kernels/kernels.js";
import { loadKernels } from "../../quants/kernels/load.js";
import { Workspace } from "../../quants/workspace.js";
import { batchesOf, batchTokens, cutIntoChunks, type TextChunks } from "../../text/chunks.js";
import { readTextFile, tokensOf } from "../../text/text.js";
import { type TensorToPerturb, weightBytes, writeNoise } from "./noise.js";
import { chunksTogether, comparedStride, divergenceOf, estimateOf, firstCompared } from "./positions.js";

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
  /** Tensors that the computation does not use. */
  readonly unused: readonly string[];
}

/** SHA-256 of the tokens that a run would decode: what an unfinished run is told by. */
export const identifyText = defineJob(
  import.meta.url,
  "identifyText",
  modelAndText,
  async (params: TextParams, host: JobHost): Promise<string> => {
    const { tokens } = await readChunks(params, loadPlain(host, params));
    return createHash("sha256").update(tokens).digest("hex");
  },
);

/** Measures each tensor that is wanted; tells every result at once, so that a run that is stopped loses little. */
export const measureSensitivity = defineJob(
  import.meta.url,
  "measureSensitivity",
  modelAndText,
  async (params: SensitivityParams, host: JobHost<SensitivityEvent>): Promise<SensitivityOutcome> => {
    const { tensors, background, threads } = params;
    const model = loadPlain(host, params);
    try {
      const text = await readChunks(params, model);
      const probe = new Probe(model, text, threads);
      const { kernels } = loadKernels();
      const workspace = new Workspace(kernels && new Kernels(kernels));
      for (const tensor of tensors) {
        const original = weightBytes(model, tensor.name);
        if (original) {
          writeNoise(model, tensor, original, { draw: "background", level: background }, workspace);
        }
      }
      const before = probe.divergences();
      const used = tensors.filter(({ name }) => model.weights().has(name));
      for (const tensor of used.filter(({ isWanted }) => isWanted)) {
        host.emit({ name: tensor.name, ...growthBy(model, tensor, params, { probe, before, workspace }) });
      }
      return {
        chunks: text.chunks,
        positions: before.length,
        background: estimateOf(before),
        unused: namesOfOthers(tensors, used),
      };
    } finally {
      // What is in memory is no longer the model.
      model.close();
    }
  },
);

function namesOfOthers(all: readonly TensorToPerturb[], some: readonly TensorToPerturb[]): string[] {
  const known = new Set(some);
  return all.filter((tensor) => !known.has(tensor)).map(({ name }) => name);
}

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
  const original = weightBytes(model, tensor.name);
  if (original === undefined) {
    throw new InternalError(`${tensor.name} was there, and is not any more.`);
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

type TextParams = Pick<SensitivityParams, "model" | "text" | "context" | "chunks" | "parseSpecial">;

function modelAndText({ model, text }: TextParams): JobFiles {
  return joinFiles(readsModel(model), { reads: [text] });
}

async function readChunks(
  { text, context, chunks, parseSpecial }: TextParams,
  model: Model,
): Promise<TextChunks> {
  const bytes = await readTextFile(text, tokensOf({ context, chunks }));
  return cutIntoChunks(text, model.tokenize(bytes, { parseSpecial }), { context, chunks });
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
    this.#stride = comparedStride(text, model.facts.vocabularySize);
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
      const divergence = divergenceOf(this.#reference[count] ?? logits, logits);
      if (!Number.isFinite(divergence)) {
        throw noNumbers(this.#model.path, place.chunk, place.position);
      }
      divergences[count++] = divergence;
    }, beforeGroup);
    return divergences;
  }

  get #together(): number {
    return chunksTogether(this.#text.context, this.#model.facts);
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
