/**
 * How a model is run over a text: in one piece if it fits in memory, otherwise in windows of layers that do. With
 * graphics processors it is their memory that decides, so that all layers are computed there.
 */
import { shownName } from "../bytes/address.js";
import type { GraphicsMemory } from "../engine/gpus.js";
import { availableMemoryBytes, gigabytes } from "../engine/limits.js";
import type { ModelOptions } from "../engine/model.js";
import { UsageError } from "../errors.js";
import { tensorBytes } from "../gguf/layout.js";
import { Architecture } from "../model/architecture.js";
import { describePlacement, placeOnGpus } from "../model/gpu-placement.js";
import type { WindowRange } from "../model/layer-window.js";
import type { PredictionPlan } from "../model/prediction-facts.js";
import { isTied, layerOf } from "../model/roles.js";
import type { ModelSource } from "../model/source.js";
import { runLayers, windowStarts } from "../model/window-facts.js";
import { traitsOf } from "../quants/types.js";
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
  /** What the graphics processors have, if there are any and `gpuLayers` is not given. */
  readonly graphics?: GraphicsMemory | undefined;
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

/** Whether its layers can be run by themselves, so that no file of the whole model is needed. */
export function runsInWindows(source: ModelSource): boolean {
  return startsOf(source) !== undefined;
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
  const isFile = isLocalGguf(source, path);
  if (isFile && options.layersPerWindow === undefined && fitsWhole(source, options)) {
    return { whole, ...prediction };
  }
  const starts = startsOf(source);
  if (starts !== undefined) {
    return { ...inWindows(source, whole, starts, options), ...prediction };
  }
  if (!isFile) {
    throw new UsageError(
      `${shownName(path)}: its layers cannot be run by themselves, so that it must be a GGUF file here: download it, or convert it with "lopsided convert".`,
      { model: path },
    );
  }
  return { ...placedWhole(source, whole, options), ...prediction };
}

/** Whether graphics processors hold all of it, or without any the machine's memory. */
function fitsWhole(source: ModelSource, options: SweepOptions): boolean {
  const layers = layersOf(source, options);
  const outside = source.tensors.filter(({ name }) => layerOf(name) === undefined);
  const rest = outside.reduce((sum, tensor) => sum + tensorBytes(tensor), options.otherBytes ?? 0);
  const room = graphicsRoom(options);
  return room === undefined
    ? layers.reduce((sum, { bytes }) => sum + bytes, rest) <= budgetOf(options)
    : layers.reduce((sum, { weights }) => sum + weights, rest) <= room;
}

/** Bytes of graphics memory for weights; undefined without graphics processors. */
function graphicsRoom(options: SweepOptions): number | undefined {
  return options.graphics && options.graphics.roomBytes - logitsBytes(options);
}

/** In one piece, of which graphics processors hold what they can. */
function placedWhole(source: ModelSource, whole: ModelOptions, options: SweepOptions): SweptModel {
  const { graphics, modelsTogether = 1 } = options;
  const room = graphicsRoom(options);
  if (graphics === undefined || room === undefined || fitsWhole(source, options)) {
    return { whole };
  }
  const placement = placeOnGpus(source, room / modelsTogether);
  return {
    whole: { ...whole, ...placement },
    note: `${whole.name}: does not fit in the ${gigabytes(graphics.roomBytes)} of ${graphics.names.join(", ")}, and its layers cannot be run by themselves: ${describePlacement(placement)}.`,
  };
}

function inWindows(
  source: ModelSource,
  whole: ModelOptions,
  starts: readonly number[],
  options: SweepOptions,
): SweptModel {
  const { modelsTogether = 1, layersPerWindow } = options;
  const parts = partsOf(source, starts, options);
  const room = budgetOf(options) - outputBytes(source, options) * modelsTogether;
  const isRoomForTwo = 2 * Math.max(...parts.map(({ bytes }) => bytes)) <= room;
  const together = Math.max(modelsTogether, isRoomForTwo ? 2 : 1);
  // The logits have their place already.
  const outputWeights = outputBytes(source, options) - logitsBytes(options);
  const graphics = (graphicsRoom(options) ?? Infinity) / modelsTogether - outputWeights;
  const largest = Math.max(...parts.map(({ weights }) => weights));
  const isTooLarge = largest > graphics;
  const rooms = { host: room / together, graphics: isTooLarge ? Infinity : graphics };
  return {
    whole: isTooLarge ? { ...whole, gpuLayers: 0 } : whole,
    windows: {
      ranges: cutIntoWindows(parts, rooms, options),
      width: new Architecture(source.metadata).embeddingLength,
      loadsAhead: isRoomForTwo || layersPerWindow !== undefined,
      needsVocabulary: !isLocalGguf(source, whole.path),
    },
    ...(isTooLarge && {
      note: `${whole.name}: a layer takes ${gigabytes(largest)}, more than there is graphics memory for; its layers stay in the machine's memory.`,
    }),
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

/** Bytes of a layer's weights, and of those and its statistics. */
interface LayerBytes {
  readonly weights: number;
  readonly bytes: number;
}

/** Of each layer that is run. */
function layersOf(
  source: ModelSource,
  { statisticsBytes = () => 0, prediction }: SweepOptions,
): LayerBytes[] {
  const count = runLayers(new Architecture(source.metadata)) + (prediction?.count ?? 0);
  const weights = Array.from({ length: count }, () => 0);
  for (const tensor of source.tensors) {
    const layer = layerOf(tensor.name) ?? count;
    if (layer < count) {
      weights[layer] = (weights[layer] ?? 0) + tensorBytes(tensor);
    }
  }
  return weights.map((bytes, layer) => ({ weights: bytes, bytes: bytes + statisticsBytes(layer) }));
}

/** A batch's logits. */
function logitsBytes({ needsOutput, prediction }: SweepOptions): number {
  return needsOutput || prediction?.hasHeads ? 1.3 * 2 ** 30 : 0;
}

/** Of the last window: the output matrix and a batch's logits; the embeddings of what predicts further tokens. */
function outputBytes(source: ModelSource, options: SweepOptions): number {
  const { needsOutput, prediction } = options;
  const bytesNamed = (name: string) => {
    const tensor = source.tensors.find((one) => one.name === name);
    return tensor ? tensorBytes(tensor) : 0;
  };
  const tied = isTied(source.tensors.map(({ name }) => name));
  const output = needsOutput ? bytesNamed(tied ? "token_embd.weight" : "output.weight") : 0;
  const embedding = prediction && !(needsOutput && tied) ? bytesNamed("token_embd.weight") : 0;
  return logitsBytes(options) + output + embedding;
}

interface Part extends LayerBytes {
  readonly from: number;
  readonly to: number;
}

/** What predicts further tokens is in the last part. */
function partsOf(source: ModelSource, starts: readonly number[], options: SweepOptions): Part[] {
  const layers = layersOf(source, options);
  const end = runLayers(new Architecture(source.metadata));
  return starts.map((from, i) => {
    const next = starts[i + 1];
    const own = layers.slice(from, next ?? layers.length);
    return {
      from,
      to: next ?? end,
      weights: own.reduce((sum, { weights }) => sum + weights, 0),
      bytes: own.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  });
}

/** As few windows of consecutive parts as the room allows; one part at least. */
function cutIntoWindows(
  parts: readonly Part[],
  room: { readonly host: number; readonly graphics: number },
  { layersPerWindow = Infinity, needsOutput, prediction }: SweepOptions,
): WindowRange[] {
  const ranges: { from: number; to: number }[] = [];
  let free = room;
  for (const { from, to, weights, bytes } of parts) {
    const last = ranges.at(-1);
    if (last && bytes <= free.host && weights <= free.graphics && to - last.from <= layersPerWindow) {
      last.to = to;
    } else {
      ranges.push({ from, to });
      free = room;
    }
    free = { host: free.host - bytes, graphics: free.graphics - weights };
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
