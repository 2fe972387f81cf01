/** How a model is run over a text: in one piece if it fits in memory, otherwise in windows of layers that do. */
import { shownName } from "../bytes/address.js";
import { availableMemoryBytes } from "../engine/limits.js";
import type { ModelOptions } from "../engine/model.js";
import { UsageError } from "../errors.js";
import { Architecture } from "../model/architecture.js";
import type { WindowRange } from "../model/layer-window.js";
import type { PredictionPlan } from "../model/prediction-facts.js";
import { isTied, layerOf } from "../model/roles.js";
import { type ModelSource, rowCount, type SourceTensor } from "../model/source.js";
import { runLayers, windowStarts } from "../model/window-facts.js";
import { rowBytes, traitsOf } from "../quants/types.js";
import type { SweptModel } from "./sweep.js";

export interface SweepOptions {
  /** Bytes that the run may take; by default most of what is there. */
  readonly maxMemory?: number | undefined;
  /** Layers in a window at most; as many as fit by default. */
  readonly layersPerWindow?: number | undefined;
  /** What comes after the last layer is wanted. */
  readonly needsOutput: boolean;
  /** Models whose last windows are run together, or of which all are run whole: 1 by default. */
  readonly modelsTogether?: number;
  /** Bytes of the other ones. */
  readonly otherBytes?: number;
  /** Bytes that a layer's statistics take besides its weights. */
  readonly statisticsBytes?: (layer: number) => number;
  readonly gpuLayers?: number | undefined;
  readonly ignoreMemoryLimit?: boolean | undefined;
  /** Layers that predict further tokens are run too. */
  readonly prediction?: PredictionPlan | undefined;
}

/** Part of the memory that is there that a run takes. */
const memoryShare = 0.85;

/** Besides weights: the library, this program, activations of a batch. */
const reservedBytes = 7e8;

/**
 * Plans a run. Throws a UsageError for a model that is no local GGUF file and cannot be run in windows, which
 * would not need one.
 */
export function planSweep(source: ModelSource, path: string, options: SweepOptions): SweptModel {
  const planned = planParts(source, path, options);
  const { prediction, ...others } = options;
  // Without those layers, if they cannot be run in windows.
  return planned.windows && prediction?.inWindows === false ? planParts(source, path, others) : planned;
}

function planParts(source: ModelSource, path: string, options: SweepOptions): SweptModel {
  const whole: ModelOptions = {
    path,
    name: shownName(path),
    ...(options.gpuLayers === undefined ? {} : { gpuLayers: options.gpuLayers }),
    ...(options.ignoreMemoryLimit && { ignoreMemoryLimit: true }),
    ...(options.prediction && { predictionLayers: true }),
  };
  const prediction = options.prediction && { prediction: options.prediction };
  const architecture = new Architecture(source.metadata);
  const isFile = isLocalGguf(source, path);
  const budget = budgetOf(options);
  const layers = statisticsOf(source, options);
  const fits = totalOf(source, layers) + (options.otherBytes ?? 0) <= budget;
  if (isFile && options.layersPerWindow === undefined && fits) {
    return { whole, ...prediction };
  }
  const starts = startsOf(source);
  if (starts === undefined) {
    if (!isFile) {
      throw new UsageError(
        `${shownName(path)}: its layers cannot be run by themselves, so that it must be a GGUF file here: download it, or convert it with "lopsided convert".`,
        { model: path },
      );
    }
    return { whole, ...prediction };
  }
  const parts = starts.map((from, i) => ({ from, to: starts[i + 1] ?? runLayers(architecture) }));
  // What predicts further tokens is in the last window.
  const sizes = parts.map(({ from, to }, i) =>
    layers.slice(from, i === parts.length - 1 ? layers.length : to).reduce((sum, bytes) => sum + bytes, 0),
  );
  const { modelsTogether = 1 } = options;
  const room = budget - outputBytes(source, options) * modelsTogether;
  const isRoomForTwo = 2 * Math.max(...sizes) <= room;
  const together = Math.max(modelsTogether, isRoomForTwo ? 2 : 1);
  return {
    whole,
    ...prediction,
    windows: {
      ranges: cutIntoWindows(parts, sizes, room / together, options),
      width: architecture.embeddingLength,
      loadsAhead: isRoomForTwo || options.layersPerWindow !== undefined,
      needsVocabulary: !isFile,
    },
  };
}

/** Bytes that a run may take for weights and statistics. */
function budgetOf({ maxMemory = memoryShare * availableMemoryBytes() }: SweepOptions): number {
  return Math.max(0, maxMemory - reservedBytes);
}

function isLocalGguf(source: ModelSource, path: string): boolean {
  return (
    source.files.every((file) => file.remote === undefined) && source.files.some(({ name }) => name === path)
  );
}

function startsOf({ metadata, tensors }: ModelSource): number[] | undefined {
  const embedding = tensors.find(({ name }) => name === "token_embd.weight");
  return embedding && traitsOf(embedding.type).canDecode ? windowStarts(metadata) : undefined;
}

function bytesOf({ type, shape }: SourceTensor): number {
  return rowCount(shape) * rowBytes(type, shape[0] ?? 0);
}

/** Bytes of the weights and statistics of each layer that is run. */
function statisticsOf(
  source: ModelSource,
  { statisticsBytes = () => 0, prediction }: SweepOptions,
): number[] {
  const count = runLayers(new Architecture(source.metadata)) + (prediction?.count ?? 0);
  const layers = Array.from({ length: count }, (_, layer) => statisticsBytes(layer));
  for (const tensor of source.tensors) {
    const layer = layerOf(tensor.name) ?? count;
    if (layer < count) {
      layers[layer] = (layers[layer] ?? 0) + bytesOf(tensor);
    }
  }
  return layers;
}

function totalOf(source: ModelSource, layers: readonly number[]): number {
  const outside = source.tensors.filter(({ name }) => layerOf(name) === undefined);
  return [...layers, ...outside.map(bytesOf)].reduce((sum, bytes) => sum + bytes, 0);
}

/** Of the last window: the output matrix and a batch's logits; the embeddings of what predicts further tokens. */
function outputBytes(source: ModelSource, { needsOutput, prediction }: SweepOptions): number {
  const bytesNamed = (name: string) => {
    const tensor = source.tensors.find((one) => one.name === name);
    return tensor ? bytesOf(tensor) : 0;
  };
  const tied = isTied(source.tensors.map(({ name }) => name));
  const logits = needsOutput || prediction?.hasHeads ? 1.3 * 2 ** 30 : 0;
  const output = needsOutput ? bytesNamed(tied ? "token_embd.weight" : "output.weight") : 0;
  const embedding = prediction && !(needsOutput && tied) ? bytesNamed("token_embd.weight") : 0;
  return logits + output + embedding;
}

/** As few windows of consecutive parts as the room allows; one part at least. */
function cutIntoWindows(
  parts: readonly { readonly from: number; readonly to: number }[],
  sizes: readonly number[],
  room: number,
  { layersPerWindow = Infinity, needsOutput, prediction }: SweepOptions,
): WindowRange[] {
  const ranges: { from: number; to: number }[] = [];
  let free = 0;
  for (const [i, { from, to }] of parts.entries()) {
    const bytes = sizes[i] ?? 0;
    const last = ranges.at(-1);
    if (last === undefined || bytes > free || to - last.from > layersPerWindow) {
      ranges.push({ from, to });
      free = room - bytes;
    } else {
      last.to = to;
      free -= bytes;
    }
  }
  return ranges.map((range, i) => {
    const isLast = i === ranges.length - 1;
    return {
      ...range,
      hasOutput: needsOutput && isLast,
      ...(prediction && isLast && { prediction: prediction.count }),
    };
  });
}
