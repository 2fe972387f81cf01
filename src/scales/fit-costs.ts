/** What fitting scales costs, said before it begins. */
import { largestLayer } from "../model/roles.js";
import { weightCount } from "../model/source.js";
import { fitBytesOf } from "../quants/output-aware/expert-scales.js";
import { formatBytes, formatDuration } from "../units.js";
import type { FittedLayer } from "./fitted-layers.js";

export interface FitCosts {
  /** Bytes on the disk while it runs, besides the output. */
  readonly diskBytes: number;
  /** Bytes of memory besides the program's. */
  readonly memoryBytes: number;
  /** Seconds of the regressions; running the layers comes on top. */
  readonly seconds: number;
  /** All of it as one sentence. */
  readonly sentence: string;
}

/** The source, as far as its header tells. */
interface SizedModel {
  readonly tensors: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly byteLength: number;
}

/** Seconds for a multiplication of the regressions, on one core: measured at the shapes of a 30B model. */
const secondsPerProduct = 1 / 1.2e10;

/** Estimates the costs on a text of so many tokens, with so many threads. */
export function fitCostsOf(
  source: SizedModel,
  layers: readonly FittedLayer[],
  { tokens, threads }: { readonly tokens: number; readonly threads: number },
): FitCosts {
  const width = Math.max(0, ...layers.map(({ gate }) => gate.columns));
  const stream = 4 * tokens * width;
  const ofLayer = largestLayerBytes(source);
  const diskBytes = 4 * stream;
  const ofExpert = layers.map(({ gate: { count, columns } }) =>
    fitBytesOf({ width: count, columns }, threads),
  );
  // A layer of the source is there twice while llama.cpp rearranges it; ours is not fitted at that time.
  const memoryBytes = 2 * stream + ofLayer + Math.max(ofLayer, ...ofExpert);
  const products = layers.reduce((sum, layer) => sum + productsOf(layer, tokens), 0);
  const seconds = (products * secondsPerProduct) / threads;
  const sentence = `the scales of ${layers.length} layers' experts are fitted on ${tokens} tokens: up to ${formatBytes(diskBytes)} on the disk besides the output, about ${formatBytes(memoryBytes)} of memory, ${formatDuration(seconds)} of regressions on ${threads === 1 ? "one core" : `${threads} cores`}, and the text once through the source and twice through the model.`;
  return { diskBytes, memoryBytes, seconds, sentence };
}

/** Bytes of the widest layer's weights, by its share of all. */
function largestLayerBytes({ tensors, byteLength }: SizedModel): number {
  const weights = tensors.reduce((sum, { shape }) => sum + weightCount(shape), 0);
  return (byteLength * largestLayer(tensors, ({ shape }) => weightCount(shape))) / weights;
}

/** Multiplications: products with gate and up, with down from both sides, of the features, and the factors. */
function productsOf({ gate, experts, slots }: FittedLayer, tokens: number): number {
  const features = 2 * gate.count;
  const ofTokens = tokens * slots * (features * gate.columns * 2 + features ** 2 / 2);
  const ofExperts = experts * (features ** 3 / 6 + (gate.count ** 2 * gate.columns) / 2);
  return ofTokens + ofExperts;
}
