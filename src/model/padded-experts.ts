/**
 * Experts made wider with zeros, so that their rows fill the superblocks of 256 that types below 4.25 bits need. Zero
 * rows of gate and up make hidden values of exactly zero (every activation that llama.cpp gives experts maps 0 to 0),
 * whatever the columns of down that meet them: the padded model computes the same.
 */
import { InternalError, UsageError } from "../errors.js";
import type { MetadataValue } from "../gguf/metadata.js";
import { rowBytes, type TypeName, traitsOf } from "../quants/types.js";
import { Architecture } from "./architecture.js";
import { type ModelSource, rowCount, type SourceTensor } from "./source.js";

/** Weights of the longest blocks. */
const superblockWeights = 256;

/**
 * Architectures whose experts may be padded, and what llama.cpp's loader makes of the width of shared experts: `apart`
 * if there are none or their width is a key of its own, `with routed` if it is a multiple of the routed experts', so
 * that they are padded too. `scripts/compare-padded.mjs` runs a model of each with and without, by llama.cpp.
 */
const sharedExperts: Readonly<Record<string, "apart" | "with routed">> = {
  gemma4: "apart",
  glm4moe: "with routed",
};

/** Those that `withPaddedExperts` takes. */
export const paddableArchitectures: readonly string[] = Object.keys(sharedExperts);

/** Which dimension of a tensor is the experts' width, and how often: two times in a fused gate and up. */
interface Widened {
  readonly dimension: 0 | 1;
  readonly parts: 1 | 2;
}

/**
 * The model with the width of its experts raised to a multiple of 256; the model itself if it is one already. Throws
 * a UsageError for a model without experts, or of an architecture of which it is not known what llama.cpp makes of it.
 */
export function withPaddedExperts(source: ModelSource): ModelSource {
  const facts = new Architecture(source.metadata);
  const { name: architecture, layers } = facts;
  const shared = sharedExperts[architecture];
  const key = `${architecture}.expert_feed_forward_length`;
  const width = source.metadata.get(key);
  if (shared === undefined || width === undefined) {
    throw new UsageError(
      `${source.name}: experts of the architecture ${architecture} cannot be padded; leave out \`padExperts\` (possible with ${paddableArchitectures.join(", ")}).`,
      { architecture },
    );
  }
  const widths = Array.from({ length: layers }, (_, layer) => facts.expertFeedForwardLength(layer));
  if (widths.every((own) => own === padded(own))) {
    return source;
  }
  const tensors = source.tensors.map((tensor) => {
    const found = /^blk\.(\d+)\.ffn_(gate|up|gate_up|down)_(exps|shexp)\.(weight|bias)$/.exec(tensor.name);
    const [, layer, matrix = "", kind, content] = found ?? [];
    const own = widths[Number(layer)];
    const isOutputBias = matrix === "down" && content === "bias";
    if (own === undefined || isOutputBias || (kind === "shexp" && shared === "apart")) {
      return tensor;
    }
    const dimension = matrix === "down" || content === "bias" ? 0 : 1;
    return widened(tensor, own, { dimension, parts: matrix === "gate_up" ? 2 : 1 });
  });
  return { ...source, metadata: new Map(source.metadata).set(key, paddedValue(width)), tensors };
}

/**
 * The source as a model was made from it: with padded experts if the model's are that wide and the source's are not.
 */
export function paddedLike(source: ModelSource, model: ModelSource): ModelSource {
  const widthOf = ({ tensors }: ModelSource) =>
    tensors.find(({ name }) => name.endsWith(".ffn_down_exps.weight"))?.shape[0] ?? 0;
  return widthOf(model) > widthOf(source) && widthOf(model) === padded(widthOf(source))
    ? withPaddedExperts(source)
    : source;
}

function padded(width: number): number {
  return superblockWeights * Math.ceil(width / superblockWeights);
}

function paddedValue(width: MetadataValue): MetadataValue {
  if (width.type === "array" && typeof width.value[0] === "number") {
    return { ...width, value: width.value.map((own) => padded(Number(own))) } as MetadataValue;
  }
  if (typeof width.value === "number") {
    return { ...width, value: padded(width.value) } as MetadataValue;
  }
  throw new InternalError("the width of experts is no number.");
}

/** A tensor whose `dimension` consists of parts of a multiple of `width`, each with zeros behind it. */
function widened(tensor: SourceTensor, width: number, { dimension, parts }: Widened): SourceTensor {
  const size = tensor.shape[dimension] ?? 0;
  // Shared experts are one matrix of several experts' width.
  const experts = size / parts / width;
  if (!Number.isInteger(experts) || experts === 0) {
    throw new UsageError(
      `${tensor.name}: has ${size} ${dimension === 0 ? "columns" : "rows"}, which is no multiple of the ${width} that the metadata gives as the width of an expert; the experts of this model cannot be padded.`,
      { tensor: tensor.name },
    );
  }
  const before = size / parts;
  const after = padded(width) * experts;
  const shape = tensor.shape.map((own, index) => (index === dimension ? parts * after : own));
  const readRows =
    dimension === 0 ? wideRows(tensor, { parts, before, after }) : moreRows(tensor, { parts, before, after });
  return { ...tensor, shape, readRows };
}

/** Sizes of one part before and after. */
interface Parts {
  readonly parts: number;
  readonly before: number;
  readonly after: number;
}

/** Bytes of zero are weights of zero in every type: codes of zero, or scales of zero. */
function wideRows(tensor: SourceTensor, { parts, before, after }: Parts): SourceTensor["readRows"] {
  const [from, to] = [bytesOf(tensor, before), bytesOf(tensor, after)];
  return async (first, count) => {
    const stored = await tensor.readRows(first, count);
    const rows = new Uint8Array(count * parts * to);
    for (let part = 0; part < count * parts; part++) {
      rows.set(stored.subarray(part * from, (part + 1) * from), part * to);
    }
    return rows;
  };
}

function moreRows(tensor: SourceTensor, { before, after }: Parts): SourceTensor["readRows"] {
  const bytesPerRow = bytesOf(tensor, tensor.shape[0] ?? 1);
  const partCount = rowCount(tensor.shape) / before;
  return async (first, count) => {
    const rows = new Uint8Array(count * bytesPerRow);
    const end = first + count;
    for (let part = Math.floor(first / after); part < partCount && part * after < end; part++) {
      const start = part * after;
      const from = Math.max(first, start);
      const length = Math.min(end, start + before) - from;
      if (length > 0) {
        const stored = await tensor.readRows(part * before + from - start, length);
        rows.set(stored, (from - first) * bytesPerRow);
      }
    }
    return rows;
  };
}

function bytesOf(
  { name, type }: { readonly name: string; readonly type: TypeName },
  weights: number,
): number {
  if (weights % traitsOf(type).blockSize !== 0) {
    throw new UsageError(
      `${name}: parts of ${weights} weights fill no whole blocks of ${type}; start from a model of wider types.`,
      { tensor: name },
    );
  }
  return rowBytes(type, weights);
}
