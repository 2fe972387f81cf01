/**
 * A model without the layers that predict further tokens (MTP), and these layers alone, as llama.cpp's converter writes
 * them (`--no-mtp`, `--mtp`) and its loader reads them: both keep the layers' numbers, and what the layers share with
 * the model (embedding, output) is in both.
 */
import { basename, dirname, join } from "node:path";
import { UsageError } from "../errors.js";
import type { MetadataArray, MetadataValue } from "../gguf/metadata.js";
import { Architecture } from "./architecture.js";
import { readsPredictionAlone } from "./prediction-facts.js";
import { layerOf, nextnLayersOf } from "./roles.js";
import type { ModelSource } from "./source.js";
import { isByLayer } from "./window-facts.js";

/** What becomes of the layers: they stay in the model's file, are left out, or get a file of their own. */
export const predictionModes = ["embed", "drop", "separate"] as const;

export type PredictionMode = (typeof predictionModes)[number];

/**
 * The file of the layers beside the model's. llama.cpp looks for `mtp-` in a repository's names when it wants such
 * layers, and never takes such a file for a model.
 */
export function predictionPath(output: string): string {
  return join(dirname(output), `mtp-${basename(output)}`);
}

/** What of a model is written into its file: all of it, or all but the layers that predict further tokens. */
export function withPrediction(source: ModelSource, mode: PredictionMode | undefined): ModelSource {
  return mode === "drop" || mode === "separate" ? withoutPrediction(source) : source;
}

/** The model without those layers. Throws a UsageError if it has none. */
export function withoutPrediction(source: ModelSource): ModelSource {
  const first = firstOf(source);
  const { name } = new Architecture(source.metadata);
  const metadata = new Map<string, MetadataValue>();
  for (const [key, value] of source.metadata) {
    const short = key.slice(name.length + 1);
    if (key === `${name}.nextn_predict_layers`) {
      continue;
    }
    if (key === `${name}.block_count`) {
      metadata.set(key, { type: "uint32", value: first });
    } else if (value.type === "array" && key.startsWith(`${name}.`) && isByLayer(short)) {
      metadata.set(key, { ...value, value: value.value.slice(0, first) } as MetadataArray);
    } else {
      metadata.set(key, value);
    }
  }
  return { ...source, metadata, tensors: source.tensors.filter(({ name }) => (layerOf(name) ?? 0) < first) };
}

/** The layers with what they share with the model. Throws a UsageError if there are none, or llama.cpp reads no such file. */
export function predictionAlone(source: ModelSource): ModelSource {
  const first = firstOf(source);
  const { name: architecture } = new Architecture(source.metadata);
  if (!readsPredictionAlone(architecture)) {
    throw new UsageError(
      `${source.name}: llama.cpp does not read layers that predict further tokens (MTP) of ${architecture} from a file of their own; use \`mtp\` embed or drop.`,
      { architecture },
    );
  }
  return { ...source, tensors: source.tensors.filter(({ name }) => (layerOf(name) ?? first) >= first) };
}

/** The source as a model was made from it: without those layers, or only they, if the model is. */
export function partLike(source: ModelSource, model: ModelSource): ModelSource {
  const names = ({ tensors }: ModelSource) => tensors.map(({ name }) => name);
  if (nextnLayersOf(names(source)).size === 0) {
    return source;
  }
  const { name, layers, nextnLayers } = new Architecture(source.metadata);
  const first = layers - nextnLayers;
  const own = names(model).map((one) => layerOf(one) ?? -1);
  if (!own.some((layer) => layer >= first)) {
    return withoutPrediction(source);
  }
  const hasOthers = own.some((layer) => layer >= 0 && layer < first);
  return hasOthers || !readsPredictionAlone(name) ? source : predictionAlone(source);
}

/** Number of the first of those layers. */
function firstOf(source: ModelSource): number {
  const { layers, nextnLayers } = new Architecture(source.metadata);
  const first = layers - nextnLayers;
  if (nextnLayers === 0 || !source.tensors.some(({ name }) => (layerOf(name) ?? -1) >= first)) {
    throw new UsageError(
      `${source.name}: has no layers that predict further tokens (MTP); leave out \`mtp\`.`,
      { file: source.name },
    );
  }
  return first;
}
