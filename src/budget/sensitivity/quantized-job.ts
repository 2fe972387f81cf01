/**
 * Sensitivity at a solution: the model has the weights of a quantization of it, and one tensor after another is made
 * the model's own again. By how much that lowers the divergence is what the tensor's error costs, be it what it is: an
 * error that an encoder fitted to its calibration text is no noise.
 */
import { defineJob, type JobHost } from "../../engine/job.js";
import { joinFiles } from "../../engine/job-files.js";
import { modelFileNames } from "../../engine/limits.js";
import type { Model } from "../../engine/model.js";
import { openModel } from "../../model/open.js";
import type { SourceTensor } from "../../model/source.js";
import { newKernels } from "../../quants/kernels/load.js";
import {
  addStatistics,
  noStatistics,
  relativeError,
  type Statistics,
  sumOfRows,
  weightedStatistics,
} from "../../quants/statistics.js";
import { rowBytes } from "../../quants/types.js";
import { Workspace } from "../../quants/workspace.js";
import type { SensitivityEvent, SensitivityOutcome } from "./job.js";
import type { TensorToPerturb } from "./noise.js";
import { estimateOf } from "./positions.js";
import { loadPlain, modelAndText, Probe, type ProbeParams, readChunks } from "./probe.js";

export interface QuantizedParams extends ProbeParams {
  /** All that may be quantized. */
  readonly tensors: readonly TensorToPerturb[];
  /** Path of the quantization, a GGUF file or the first of a set. */
  readonly quantized: string;
}

/** Weights handled at a time. */
const batchWeights = 1 << 16;

/**
 * Measures each wanted tensor that the quantization stores in another type, and that the computation uses: its own
 * error, and by how much the divergence grows with it. The background of the outcome is the divergence of the
 * quantization.
 */
export const measureQuantized = defineJob(
  import.meta.url,
  "measureQuantized",
  (params) => joinFiles(modelAndText(params), { reads: modelFileNames(params.quantized) }),
  async (params: QuantizedParams, host: JobHost<SensitivityEvent>): Promise<SensitivityOutcome> => {
    const model = loadPlain(host, params);
    const [source, quantized] = [await openModel(params.model.path), await openModel(params.quantized)];
    try {
      const text = await readChunks(params, model);
      const probe = new Probe(model, text, params.threads);
      const workspace = new Workspace(newKernels());
      const named = (tensors: readonly SourceTensor[]) => new Map(tensors.map((one) => [one.name, one]));
      const [own, others] = [named(source.tensors), named(quantized.tensors)];
      const pairs = params.tensors.flatMap((task) => {
        const [from, to] = [own.get(task.name), others.get(task.name)];
        const isUsed = model.weights().has(task.name);
        return from && to && from.type !== to.type && isUsed ? [{ task, from, to, error: 0 }] : [];
      });
      for (const pair of pairs) {
        pair.error = await writeQuantized(model, pair.task, pair, workspace);
      }
      const before = probe.divergences();
      for (const pair of pairs.filter(({ task: { isWanted } }) => isWanted)) {
        await writeOwn(model, pair.from);
        const growth = estimateOf(probe.divergences().map((kld, i) => (before[i] ?? 0) - kld));
        host.emit({ name: pair.task.name, error: pair.error, growth });
        await writeQuantized(model, pair.task, pair, workspace);
      }
      return {
        chunks: text.chunks,
        positions: before.length,
        background: estimateOf(before),
        unused: params.tensors.map(({ name }) => name).filter((name) => !model.weights().has(name)),
      };
    } finally {
      // What is in memory is no longer the model.
      model.close();
      await source.close();
      await quantized.close();
    }
  },
);

/** Batches of whole rows of one expert. */
function* batchesOfRows(shape: readonly number[]) {
  const [columns = 1, rowsPerMatrix = 1, experts = 1] = shape;
  const most = Math.max(1, Math.floor(batchWeights / columns));
  for (let expert = 0; expert < experts; expert++) {
    for (let row = 0; row < rowsPerMatrix; row += most) {
      const count = Math.min(most, rowsPerMatrix - row);
      yield { expert, first: expert * rowsPerMatrix + row, count };
    }
  }
}

async function writeOwn(model: Model, tensor: SourceTensor): Promise<void> {
  const stride = rowBytes(tensor.type, tensor.shape[0] ?? 1);
  for (const { first, count } of batchesOfRows(tensor.shape)) {
    model.writeWeight(tensor.name, await tensor.readRows(first, count), first * stride);
  }
}

/** Writes what the quantization decodes to, in the model's own type; returns its relative error. */
async function writeQuantized(
  model: Model,
  { name, experts }: TensorToPerturb,
  { from, to }: { readonly from: SourceTensor; readonly to: SourceTensor },
  workspace: Workspace,
): Promise<number> {
  const [columns = 1] = from.shape;
  const [ownStride, otherStride] = [rowBytes(from.type, columns), rowBytes(to.type, columns)];
  let sum: Statistics = noStatistics;
  for (const { expert, first, count } of batchesOfRows(from.shape)) {
    const { importance, share } = experts?.[expert] ?? { importance: undefined, share: 1 };
    workspace.arrange(columns, count, Math.max(ownStride, otherStride), ownStride);
    workspace.importance.fill(1);
    if (importance) {
      workspace.importance.set(importance);
    }
    const weights = workspace.weights.subarray(0, count * columns);
    const decoded = workspace.decoded.subarray(0, count * columns);
    const read = async (tensor: SourceTensor, out: Float32Array) => {
      const rows = await tensor.readRows(first, count);
      const stored = workspace.source.subarray(0, rows.length);
      stored.set(rows);
      workspace.decode(tensor.type, stored, out);
    };
    await read(from, weights);
    await read(to, decoded);
    workspace.measure(weights, decoded, columns);
    sum = addStatistics(sum, weightedStatistics(sumOfRows(workspace.sums, count), share));
    weights.set(decoded);
    const encoded = workspace.encoded.subarray(0, count * ownStride);
    workspace.encode(from.type, weights, columns, undefined, "fast", encoded);
    model.writeWeight(name, encoded.slice(), first * ownStride);
  }
  return relativeError(sum);
}
