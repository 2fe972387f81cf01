/**
 * Some consecutive layers of a model as a model of their own, which llama.cpp loads and feeds with the residual
 * stream that leaves the layers before: tensors renamed from layer 0 on, metadata cut to the window, embedding and
 * output replaced by small ones of zeros unless the window ends with the model's output.
 */
import { InternalError } from "../errors.js";
import { type GgufLayout, planGguf } from "../gguf/layout.js";
import type { Metadata, MetadataArray, MetadataValue } from "../gguf/metadata.js";
import { rowBytes, type TypeName, traitsOf } from "../quants/types.js";
import { Architecture } from "./architecture.js";
import { layerOf } from "./roles.js";
import { type ModelSource, rowCount, type SourceTensor } from "./source.js";
import { isByLayer as hasLayers, windowFactsOf } from "./window-facts.js";

/** Layers [from, to). */
export interface WindowRange {
  readonly from: number;
  readonly to: number;
  /** Whether the model's output, which makes logits of the stream, comes after them. */
  readonly hasOutput: boolean;
  /** Layers that predict further tokens, which come after the last one and are in the window too; none by default. */
  readonly prediction?: number;
}

/** A GGUF file that is made of parts of a source. */
export interface PartialModel {
  readonly layout: GgufLayout;
  /** Where each tensor's bytes come from; without a source they are zeros. */
  readonly sources: readonly (SourceTensor | undefined)[];
}

/** Tokens of the vocabulary of a window without output. */
const smallVocabulary = 32;

/** A file with the model's metadata and no tensors: enough for its tokenizer. */
export function vocabularyModel(source: ModelSource): PartialModel {
  return { layout: planGguf({ metadata: source.metadata, tensors: [] }), sources: [] };
}

/** The file of a window. */
export function windowModel(source: ModelSource, range: WindowRange): PartialModel {
  const architecture = new Architecture(source.metadata);
  const vocabulary = range.hasOutput || range.prediction ? architecture.vocabularySize : smallVocabulary;
  const contents = source.tensors.flatMap((tensor) => contentOf(tensor, source, range, vocabulary));
  return {
    layout: planGguf({
      metadata: windowMetadata(source.metadata, architecture, range, vocabulary),
      tensors: contents.map(({ planned }) => planned),
    }),
    sources: contents.map((content) => content.source),
  };
}

interface Content {
  readonly planned: { readonly name: string; readonly shape: readonly number[]; readonly type: TypeName };
  readonly source: SourceTensor | undefined;
}

function contentOf(
  tensor: SourceTensor,
  { tensors }: ModelSource,
  { from, to, hasOutput, prediction = 0 }: WindowRange,
  vocabulary: number,
): Content[] {
  const { name, shape, type } = tensor;
  const layer = layerOf(name);
  if (layer !== undefined) {
    const renamed = name.replace(/^blk\.\d+\./, `blk.${layer - from}.`);
    return layer >= from && layer < to + prediction
      ? [{ planned: { name: renamed, shape, type }, source: tensor }]
      : [];
  }
  const isEmbedding = name === "token_embd.weight";
  const isHead = name === "output.weight" || name === "output.bias";
  // What predicts further tokens begins with the tokens.
  const isUsed = isEmbedding
    ? prediction > 0 || (hasOutput && !tensors.some((one) => one.name === "output.weight"))
    : hasOutput;
  if (isUsed || !(isEmbedding || isHead)) {
    return [{ planned: { name, shape, type }, source: tensor }];
  }
  const zeros = shape.length === 1 ? [vocabulary] : [shape[0] ?? 0, vocabulary];
  return [{ planned: { name, shape: zeros, type: smallestType(zeros) }, source: undefined }];
}

/** For zeros that nobody reads, but that llama.cpp may keep in memory. */
function smallestType([columns = 0, rows]: readonly number[]): TypeName {
  if (rows === undefined) {
    return "F32";
  }
  return (["IQ1_S", "Q4_0"] as const).find((type) => columns % traitsOf(type).blockSize === 0) ?? "F16";
}

function windowMetadata(
  metadata: Metadata,
  architecture: Architecture,
  { from, to, prediction = 0 }: WindowRange,
  vocabulary: number,
): Metadata {
  const prefix = `${architecture.name}.`;
  const uint32 = (value: number): MetadataValue => ({ type: "uint32", value });
  const changed = new Map<string, MetadataValue>([
    ["block_count", uint32(to - from + prediction)],
    ["nextn_predict_layers", uint32(prediction)],
    ["leading_dense_block_count", uint32(Math.max(0, Math.min(to, architecture.leadingDenseLayers) - from))],
  ]);
  const scales = from > 0 && windowFactsOf(architecture.name)?.scalesInput === true;
  const window = new Map<string, MetadataValue>([
    ["general.architecture", { type: "string", value: architecture.name }],
    ["tokenizer.ggml.model", { type: "string", value: "no_vocab" }],
  ]);
  for (const [key, value] of metadata) {
    const name = key.slice(prefix.length);
    if (!key.startsWith(prefix)) {
      continue;
    }
    const isByLayer = value.type === "array" && hasLayers(name);
    window.set(key, changed.get(name) ?? (isByLayer ? cut(value, from, to + prediction) : value));
  }
  const sections = `${prefix}rope.dimension_sections`;
  if (windowFactsOf(architecture.name)?.takesVectorsWithSections && !window.has(sections)) {
    // All rotated pairs, half a head at most, are in the first; the second must not be empty.
    const pairs = (architecture.number("attention.key_length") ?? 256) / 2;
    window.set(sections, { type: "array", itemType: "int32", value: [pairs, 1, 0, 0] });
  }
  if (scales) {
    window.set(`${prefix}embedding_scale`, { type: "float32", value: 1 });
  }
  return window.set(`${prefix}vocab_size`, uint32(vocabulary));
}

function cut(array: MetadataArray, from: number, to: number): MetadataArray {
  return { ...array, value: array.value.slice(from, to) } as MetadataArray;
}

/** Bytes read at a time. Each read has memory of its own, and the system is slow to hand out larger pieces. */
const stretchBytes = 4 * 2 ** 20;

/** Bytes of a file's parts in order, with their places; what lies between them is zero. */
export async function* partsOf({
  layout,
  sources,
}: PartialModel): AsyncGenerator<{ readonly offset: number; readonly bytes: Uint8Array }> {
  yield { offset: 0, bytes: layout.header };
  for (const [i, source] of sources.entries()) {
    const place = layout.tensors[i];
    if (place === undefined) {
      throw new InternalError("a window has fewer tensors than were planned.");
    }
    if (source === undefined) {
      continue;
    }
    const rows = rowCount(source.shape);
    const stride = rowBytes(source.type, source.shape[0] ?? 0);
    const together = Math.max(1, Math.floor(stretchBytes / stride));
    for (let row = 0; row < rows; row += together) {
      const count = Math.min(together, rows - row);
      yield { offset: place.offset + row * stride, bytes: await source.readRows(row, count) };
    }
  }
}
