/**
 * The part of measuring sensitivity that happens beside the model: put a little noise on all tensors, then more on
 * one tensor after another, and see by how much the divergence from the model without noise grows.
 *
 * Noise on one tensor of an otherwise perfect model would not do: any change at all, however small, sends some
 * tokens to other experts and rounds activations differently. That is paid once and not by each tensor, but it would
 * be found in each tensor's measurement, and outweigh what most of them cost. Amid noise it has been paid already.
 */
import { createHash } from "node:crypto";
import { defineJob, type JobHost } from "../../engine/job.js";
import type { Model } from "../../engine/model.js";
import { InternalError } from "../../errors.js";
import { type Estimate, RunningStatistics } from "../../evaluate/statistics.js";
import { newKernels } from "../../quants/kernels/load.js";
import { Workspace } from "../../quants/workspace.js";
import { type TensorToPerturb, weightBytes, writeNoise } from "./noise.js";
import { estimateOf } from "./positions.js";
import { loadPlain, modelAndText, Probe, type ProbeParams, readChunks } from "./probe.js";

export interface SensitivityParams extends ProbeParams {
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
  /** Mean KL divergence of the model with noise on all tensors from the model without any. */
  readonly background: Estimate;
  /** Tensors that the computation does not use. */
  readonly unused: readonly string[];
}

/** SHA-256 of the tokens that a run would decode: what an unfinished run is told by. */
export const identifyText = defineJob(
  import.meta.url,
  "identifyText",
  modelAndText,
  async (params: ProbeParams, host: JobHost): Promise<string> => {
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
      const workspace = new Workspace(newKernels());
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
