/**
 * What effort max needs to know of a model's inputs, chosen by the model and the machine, and what it costs: kept
 * activations for routed experts, matrices for the other weights.
 */
import { type KeptInput, keptBytesPerToken, planKeptInputs } from "../kept/layers.js";
import { Architecture } from "../model/architecture.js";
import { largestLayer } from "../model/roles.js";
import { type ModelSource, weightCount } from "../model/source.js";
import { tensorsWithRoles } from "../model/summary.js";
import { besideActivations, type InputKind } from "../moments/inputs.js";
import { planInputs } from "../moments/plan.js";
import { formatBytes, formatCount, formatDuration } from "../units.js";

export interface MaxEffort {
  /** Bits of kept activations; undefined for a model without routed experts. */
  readonly activationBits: "8" | "4" | undefined;
  /** Whose matrices are collected. */
  readonly momentsOf: readonly InputKind[];
  /** All of it is kept until the model is encoded; otherwise that of a layer until this is. */
  readonly keeps: boolean;
  /** Bytes on the disk while it is quantized. */
  readonly diskBytes: number;
  /** Those of them where weights from a server stay until their layer is encoded; 0 if none need to, or can. */
  readonly recentBytes: number;
  /** Bytes of memory that encoding takes. */
  readonly memoryBytes: number;
  /** Seconds that encoding takes. */
  readonly seconds: number;
  /** All of it as one sentence. */
  readonly sentence: string;
}

/** What is known of the machine and the text. */
export interface MaxEffortFacts {
  /** Tokens of calibration, at most. */
  readonly tokens: number;
  readonly threads: number;
  /** Bytes of disk that may be used; undefined if the disk does not say. */
  readonly freeBytes: number | undefined;
  /** Whether all is to be kept until the model is encoded; chosen by what follows if undefined. */
  readonly keep?: boolean | undefined;
  /** Why it must be, a sentence's part; undefined if each layer can be encoded when it has been run. */
  readonly mustKeepBecause?: string | undefined;
  /** The model is run in windows of layers in any case. */
  readonly isInWindows?: boolean;
  /** Its weights come from a server. */
  readonly isOnServer?: boolean;
}

/**
 * Seconds of one core for a weight, for a multiplication of moments and of what they are computed of, and for the cube of
 * the columns of a matrix that is factorized: measured at the shapes of a 30B model (`bench/output-aware-speed.mjs`).
 */
const secondsPer = { weight: 4.3e-7, product: 1 / 3e10, cube: 1 / 1.8e10 };

/** Square matrices of the widest input that a thread has at once: moments, the layer's, factors. */
const matricesPerThread = 8;

/** Layers of which weights from a server stay: that which is encoded, and the next one, which is read meanwhile. */
const recentLayers = 2.2;

/** Bytes besides matrices and rows: this program, slices on their way. */
const otherBytes = 3e8;

/** Chooses, and estimates the costs. */
export function chooseMaxEffort(source: ModelSource, facts: MaxEffortFacts): MaxEffort {
  const { tensors, metadata } = source;
  const { tokens, threads, freeBytes = Infinity, keep, mustKeepBecause } = facts;
  const { isInWindows = false, isOnServer = false } = facts;
  const kept = planKeptInputs(tensors, metadata);
  const momentsOf = besideActivations.filter((kind) => planInputs(tensors, { kinds: [kind] }).length > 0);
  const matrixBytes = planInputs(tensors, { kinds: momentsOf }).reduce((sum, one) => sum + one.byteLength, 0);
  const bytesWith = (bits: number) =>
    tokens * kept.reduce((sum, one) => sum + keptBytesPerToken(one, bits), 0);
  const fits = bytesWith(8) + matrixBytes <= freeBytes;
  const keeps = mustKeepBecause !== undefined || (keep ?? (!isInWindows && fits));
  const activationBits = kept.length === 0 ? undefined : fits || !keeps ? "8" : "4";
  const keptBytes = activationBits === undefined ? 0 : bytesWith(Number(activationBits));
  const largestKept = keptBytes / Math.max(1, kept.length);
  const collectedBytes = keeps
    ? keptBytes + matrixBytes
    : largestKept + matrixBytes / Math.max(1, kept.length) + streamBytesOf(source, tokens);
  const wantedBytes =
    keeps || !isOnServer
      ? 0
      : Math.ceil(recentLayers * largestLayer(tensorsWithRoles(source), ({ bytes }) => bytes));
  const recentBytes = collectedBytes + wantedBytes <= freeBytes ? wantedBytes : 0;
  const diskBytes = collectedBytes + recentBytes;
  const widest = Math.max(0, ...kept.map(({ columns }) => columns));
  const memoryBytes = otherBytes + 2 * largestKept + threads * matricesPerThread * 4 * widest ** 2;
  const weights = tensors
    .filter(({ shape }) => shape.length > 1)
    .reduce((sum, { shape }) => sum + weightCount(shape), 0);
  const prepared = kept.map((input) => secondsToPrepare(input, widthOf(input, source), tokens));
  const seconds = (weights * secondsPer.weight + prepared.reduce((sum, one) => sum + one, 0)) / threads;
  const when = keeps
    ? mustKeepBecause === undefined || keep !== false
      ? ""
      : `, until all is encoded because ${mustKeepBecause}`
    : wantedBytes > recentBytes
      ? ", each layer's until it is encoded (its weights are fetched twice, as the disk has no room for them)"
      : ", each layer's until it is encoded";
  const choice = [
    ...(activationBits === undefined
      ? []
      : [
          `keeps the inputs of ${kept.length} layers' experts at ${activationBits} bits (${perDimension(kept, tokens)})`,
        ]),
    ...(momentsOf.length === 0 ? [] : [`collects moments of ${momentsOf.join(", ")}`]),
  ].join(" and ");
  const sentence = `effort max ${choice}${when}: up to ${formatBytes(diskBytes)} on the disk, about ${formatBytes(memoryBytes)} of memory, and ${formatDuration(seconds)} of encoding with ${threads} threads.`;
  return { activationBits, momentsOf, keeps, diskBytes, recentBytes, memoryBytes, seconds, sentence };
}

/** Bytes of the residual stream between two layers: what enters one and what leaves it, as float32. */
function streamBytesOf({ metadata }: ModelSource, tokens: number): number {
  return 2 * 4 * tokens * new Architecture(metadata).embeddingLength;
}

/** Tokens that an expert will see on average for each column of its input. */
function perDimension(kept: readonly KeptInput[], tokens: number): string {
  const shares = kept.map(({ slots, experts, columns }) => (tokens * slots) / experts / columns);
  const mean = shares.reduce((sum, share) => sum + share, 0) / kept.length;
  return `${formatCount(tokens)} tokens, about ${mean.toFixed(1)} per expert and dimension`;
}

/** Columns of what enters the down matrices of a layer's experts. */
function widthOf({ down, columns }: KeptInput, { tensors }: ModelSource): number {
  return tensors.find(({ name }) => name === down)?.shape[0] ?? columns;
}

/** Seconds of one core for the moments of a layer's experts, those of down's computed inputs too, and their factors. */
function secondsToPrepare({ columns, slots, experts }: KeptInput, width: number, tokens: number): number {
  const products = tokens * slots * (columns ** 2 / 2 + 2 * columns * width + width ** 2 / 2);
  const cubes = experts * (columns ** 3 + width ** 3);
  return products * secondsPer.product + cubes * secondsPer.cube;
}
